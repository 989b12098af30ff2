"""Template set "a" of the invented notes: the one that was looked at while the rules were written."""

from __future__ import annotations

NOTES = (
    # discharge summary
    """Name:  {pt.last_first}              Unit No:   {no.mrn}

Admission Date:  {date.us}              Discharge Date:   {date.us}

Date of Birth:  {date.born}             Sex:   F

Service: MEDICINE

Allergies:
Penicillins / Sulfa (Sulfonamide Antibiotics)

Attending: {att.full}, MD

Chief Complaint:
Shortness of breath

History of Present Illness:
Ms. {pt.last} is a {age.young} year old woman with {not.eponym}, CAD s/p CABG, and COPD who presents from
{place.facility} with
dyspnea. She was last seen by her PCP, Dr. {pcp.full}, on {date.us_short}, who increased {not.dose}. Per her daughter
{dau.first},
the patient has been coughing {not.time}. In the ED, initial vitals were {not.vital}. Labs notable for {not.lab}. She
lives in
{place.town}, {place.state} with her husband {hus.first}. CXR on {date.month_day} showed bibasilar opacities.

Brief Hospital Course:
# Pneumonia: treated with {not.dose}. Cultures from {date.md} grew MSSA. Dr. {id.last} from Infectious Disease was
consulted
and recommended 2 weeks of cefazolin. Exam was notable for {not.eponym} and {not.fraction}.
# Back pain: MRI with {not.anatomy}. {pt.first} was seen by physical therapy.
# Code status: Full code. HCP: {hus.full} (husband) {no.phone}.

Discharge Medications:
1. {not.dose}
2. {not.dose}

Followup Instructions:
Please call Dr. {pcp.last}'s office at {no.phone} to schedule an appointment within 7 days.

Dictated By: {res.full}, MD
D: {date.us}  T: {date.us}
JOB#: {no.job}
""",
    # radiology report
    """{date.LONG}
CT ABD W&W/O C; CT PELVIS W&W/O C              Clip # {no.job}
Reason: evaluate for abscess
Admitting Diagnosis: {not.eponym}
______________________________________________________________________________
UNDERLYING MEDICAL CONDITION:
 {age.young} year old man with {not.eponym} and {not.lab}.
REASON FOR THIS EXAMINATION:
 evaluate for abscess. Accession Number: {no.accession}

FINAL REPORT
INDICATION: {age.young}-year-old male, status post {not.eponym}.

COMPARISON: CT of the torso from {date.dmy} and {date.us}.

TECHNIQUE: MDCT axial images were obtained with 130 cc of Optiray. Coronal and sagittal reformats were reviewed.

FINDINGS: There is a 3.2 x 4.1 cm collection, previously 2.8 x 3.0 cm. The liver, spleen and pancreas are unremarkable.
There is {not.anatomy}. {not.device} terminates in the right atrium. No free air.

IMPRESSION:
1. Interval increase of the collection since {date.us_mixed}.
2. {not.anatomy}, unchanged.

These findings were discussed with Dr. {surg.full} by Dr. {rad.last} via telephone at 3:45 p.m. on {date.long}.

DR. {rad.FULL}
Approved: {date.us}
""",
    # nursing note
    """NPN 1900-0700

Neuro: pt alert and oriented x3, {not.fraction}, {not.vital}. {not.dose} given for c/o pain {not.fraction}.
CV: {not.vital}. K 3.4 repleted. {not.lab}.
Resp: LS coarse, {not.vital}. RT {rt.first} at bedside for neb.
GI/GU: {not.device} draining clear urine. Abd soft.
Social: pt's wife {wife.first} called x2 for update, will visit in am with their son {son.first}. Wife's cell is
{no.phone}.
Spoke with {sw.full}, social worker, re: placement at {place.facility}. Dr {res.Last} notified of temp spike,
cultures sent.
Friend {friend.full} dropped off glasses and hearing aids. {pt.last} slept well after 0200.
Plan: {not.month}. Monitor {not.lab}. Family meeting {date.md} at 2pm.
{nurse.full}, RN  badge {no.badge}
""",
    # registration sheet
    """PATIENT REGISTRATION

Patient: {pt.LAST_FIRST_MI}
DOB: {date.born_long}   Age: {age.old}   SSN: {no.ssn}
MRN: {no.mrn}   Acct #: {no.account}
Address: {place.street}
{place.town}, {place.st} {place.zip}
Home phone: {no.phone}  Work: {no.phone}  Fax: {no.fax}
Email: {no.email}
Employer: retired
Primary insurance: Medicare   Member ID: {no.plan}
Secondary insurance: Blue Cross  Policy #: {no.plan}
Guarantor: {gua.last_first}   Relationship: spouse
Emergency contact: {emer.full} ({no.phone})
Driver's license: {no.licence}
Vehicle: 2014 Toyota Camry, license plate {no.plate}, VIN {no.vin}
Portal: {no.url}
Last login from {no.ip} on {date.stamp}
Account number {no.account} verified. Previous MR number: {no.mrn}.
PCP: {pcp.full}, MD   NPI: {no.npi}
""",
    # device clinic letter
    """{date.long}

{ref.full_mi}, M.D.
{place.facility}
{place.street}
{place.town}, {place.state} {place.zip9}

RE: {pt.full}
DOB: {date.born_dash}
MR#: {no.mrn}

Dear Dr. {ref.last}:

I had the pleasure of seeing {pt.full} in device clinic today. As you know, Mr. {pt.last} is a {age.old}-year-old
gentleman with
{not.eponym} and a dual chamber pacemaker (Medtronic Azure, serial number {no.serial}) implanted on
{date.month_day_th} by
Dr. {ep.full}. The RV lead, S/N {no.serial}, has a stable threshold of 0.75 V at 0.4 ms. UDI: {no.udi}. Battery 8 years.
He takes {not.dose} and {not.dose}. {not.vital}. He enjoys gardening in {place.town} and denies {not.time}.

He will transmit remotely via {no.url}. Questions may be sent to {no.email} or by fax to {no.fax}.

Sincerely,

{ep.full}, MD, FACC
DEA# {no.dea}   License No. {no.licence}

cc: {cc.full}, MD
    Medical Records, fax {no.fax}
""",
    # psychiatry / social work
    """SOCIAL WORK ASSESSMENT

{pt.first} is a {age.young} y/o man, born in {place.town}, raised by his grandmother {gran.full}. He worked at the
cannery until
{date.month_year}. He has two siblings, {sib.first} and {sibb.first}. His brother {sib.first} lives at {place.apt},
{place.town}.
He drives a gray Honda (plate {no.plate}). Probation officer: {po.full}, {no.phone}, ext. {no.ext}.
He is enrolled in protocol under Study ID {no.study}. Case number {no.accession}.
Insurance: Medicaid ID {no.plan}. Health plan ID: {no.plan}.
He reports drinking since {date.abbr_year}, sober since {date.the_th}. Denies SI. Aunt, {aunt.full}, is supportive.
Last ED visit {date.abbr_day} at {place.facility}. {not.month}. Father has {not.eponym}.
Contact him at {no.email}; IP logged {no.ip}. SSN {no.ssn_plain}.
Plan discussed with {att.last_comma} and team. He was given {not.dose}. {not.fraction}.
Seen with {stu.full}, MSW intern.

Electronically signed by {sw.full}, LICSW on {date.iso}
""",
    # operative note, capitals
    """OPERATIVE REPORT

PATIENT NAME: {pt.FULL}
MEDICAL RECORD NUMBER: {no.mrn}
DATE OF OPERATION: {date.abbr}
SURGEON: {surg.FULL}, M.D.
ASSISTANT: {res.FULL}, M.D.
ANESTHESIOLOGIST: {ane.LAST_FIRST}

PREOPERATIVE DIAGNOSIS: {not.anatomy} with myelopathy.
PROCEDURE: Laminectomy and fusion. {not.eponym}.

INDICATIONS: MR. {pt.LAST} IS A {age.young}-YEAR-OLD MAN WITH {not.gene} NEGATIVE DISEASE WHO FELL IN
{place.town_caps} ON {date.dash}.
DESCRIPTION: After informed consent, the patient was brought to the operating room. {not.device} was placed. A Bovie
was used. A Penfield 4
dissector and Kerrison rongeurs were used at {not.anatomy}. Implant: Globus cage, lot number on file, serial
{no.serial}. Drain: {not.eponym}.
Estimated blood loss 150 ml. Sponge counts were correct x2. {not.lab}.

Dr. {surg.last} was present for the entire case. Specimen #{no.accession} sent to pathology.

Dictated: {date.dmy_abbr} 14:22
Transcribed: {date.DMY_ABBR}
cc: {pcp.full}, {place.town}
""",
    # oncology follow up
    """ONCOLOGY CLINIC NOTE

Date of visit: {date.abbr_dot}
Patient ID: {no.mrn}

{pt.full} is a {age.young}-year-old woman with {not.gene} positive breast cancer diagnosed in {date.my}, s/p
lumpectomy by Dr. {surg.f_last} at
{place.facility} on {date.dots}. Her tumor was {not.gene} negative. Since then she has received {not.dose}. Her
mother died at age {age.old} of
{not.eponym}; her sister {sis.first} was diagnosed at {age.young}. She moved here from {place.town}, {place.county},
in 2011.
She was accompanied by her partner, {par.full}. {not.month}. {not.vital}. ECOG 1. {not.lab}.
Trial subject number {no.study}. Next scan {date.md0}, then clinic {date.dmy_short}.
Fax results to {no.fax}. Her cell {no.phone7}; she can be paged at {no.pager}? No, page me at pager {no.pager}.
Mammogram films from {place.county}, {place.box}.
Website for the trial: {no.url}. Nurse navigator {nav.full}, RN, can be reached at {no.email}.
Beneficiary no. {no.plan}; insurance ID {no.plan}. Server {no.ipv6} logged consent.
Thank you, {onc.full}, MD PhD
""",
    # emergency department
    """ED PROVIDER NOTE
Seen by: {np.full}, NP    Attending: Dr. {att.full}
Arrival: {date.us} 22:14    Room 12    Encounter #: {no.account}

HPI: {age.old} yo F BIBA from {place.facility} after a fall. Per EMS ({ems.full}, paramedic, unit badge #{no.badge}),
found down on {place.street}
near {place.town}. Neighbor {nb.full} witnessed. Grandson {gs.first} states she takes {not.dose} and {not.dose}.
PMH: {not.eponym}, {not.eponym}, {not.anatomy}.
Exam: {not.vital}. {not.fraction}. {not.fraction}. Pupils 3 to 2.
Labs: {not.lab}; {not.lab}.
EKG: NSR, no change from {date.md}. CT head {date.us_short}: no bleed. TTE {date.month_year}: EF 55%.
MDM: Discussed with Dr. {ortho.Last} from ortho; {hosp.full}, hospitalist, accepts. {not.month}. Records requested
from {place.facility}
(fax {no.fax}, MRN there {no.mrn}).
Social: widow, retired teacher, zip {place.zip}. Billing acct {no.account}. Driver plate was {no.plate}. Hearing aid
serial no: {no.serial}.
Insurance card: subscriber {no.plan}. Last 4 SSN: {no.ssn4}. DOB {date.us_short}.
Plan: admit. Signed {np.full}, {date.us_mixed}; PA license {no.licence}; DEA {no.dea}
""",
)  # fmt: skip
