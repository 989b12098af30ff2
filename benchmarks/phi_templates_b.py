"""Template set "b" of the invented notes: held out, never looked at while the rules were written."""

from __future__ import annotations

NOTES = (
    # transfer summary
    """TRANSFER SUMMARY - MEDICAL ICU

Pt: {pt.full_mi}    MR #{no.mrn}    DOB {date.us_mixed}
Date of Transfer: {date.long_th}
Accepting physician: {acc.last_first}, M.D.

SUMMARY: This {age.young} yo lady with {not.eponym} was transferred from {place.facility} ({place.town}, {place.st})
on {date.md} for septic
shock. {not.vital} on arrival. {not.lab}. Intubated {date.md0} by anesthesia (Dr. {ane.last}). Family at bedside:
sons {son.first} and {sonb.first},
niece {niece.full}. The patient's mother, {mom.full}, is {age.old} years old and holds power of attorney ({no.phone}).
Blood cultures drawn {date.abbr_day} were positive. Started on {not.dose}, then {not.dose}. {not.device} in place.
{pt.last} was extubated and transferred to the floor; {not.fraction}.
Case reviewed with {fel.full} (ICU fellow). Reports faxed to {no.fax}, attn: {clerk.full}.

ISSUES TO FOLLOW: {not.lab}; {not.anatomy}; {not.eponym}. {not.month}.
Author: {res.full}, MD, PGY-2, pager {no.pager}
""",
    # echo / cardiology report
    """TRANSTHORACIC ECHOCARDIOGRAM REPORT
Patient name .... {pt.LAST_FIRST}
Study date ...... {date.iso}
Hospital no. .... {no.mrn}
Accession ....... {no.accession}
Requesting MD ... {req.LAST}, {req.FIRST}
Sonographer ..... {son.full}, RDCS

Interpretation: LVEF 45-50%. E/A ratio 0.8. {not.vital}. Mitral annulus 28 mm. AV area 0.9 cm2, mean gradient 38
mmHg. Doppler and
Simpson biplane methods were used; Chiari network seen. Compared with {date.dmy_abbr} and {date.us_short}, no change.
ICD generator (Boston Scientific, ser. no. {no.serial}) leads seen. {not.device}.
Loop recorder device ID {no.serial}.

Read by {card.full}, MD on {date.DMY_ABBR}; images at {no.url}; workstation {no.ip}
Report telephoned to {np.full}, ANP.
""",
    # home-care nursing
    """HOME HEALTH VISIT
Visit date {date.dash}. Client: {pt.full}. Visited at home: {place.street}, {place.town} {place.zip}. Gate code on file.
Caregiver (niece) {care.first} present. Vitals {not.vital}. Wound 2 x 3 cm over sacrum, {not.eponym} noted by MD.
Meds reconciled: {not.dose}, {not.dose}.
pt states "{hus.first} helps me with my pills". Husband {hus.first} is {age.old} and frail. Pill box filled.
{not.time}. {not.fraction}.
Called Dr {md.Last} re INR; orders received, next INR {date.month_day_th}. Pharmacy phone {no.phone}, fax# {no.fax}.
Glucometer S/N: {no.serial}. Medicare number {no.plan}. Supplies billed to account {no.account}.
Parked in visitor lot, plate no. {no.plate}. Next visit {date.md} with {aide.first}, HHA.
Signature: {rn.full} RN BSN    Lic# {no.licence}    Employee ID {no.badge}
""",
    # insurance appeal letter
    """{place.facility}
{place.street}, {place.town}, {place.state} {place.zip}
Tel {no.phone}    Fax {no.fax}    {no.url}

{date.dmy}

To Whom It May Concern:

Re: {pt.full}; Date of Birth: {date.born}; Subscriber ID: {no.plan}; Group/Policy number: {no.plan}; Claim account
{no.account}; SS# {no.ssn}

I am writing on behalf of my patient, {pt.full}, a {age.young}-year-old resident of {place.town} ({place.county}) who
has {not.gene} mutated disease. Mrs. {pt.last} was first
evaluated by my colleague Professor {prof.full} in {date.month_year}. She failed {not.dose} and {not.dose}.
{not.lab}. Her performance status declined
between {date.month_day} and {date.long}. She was enrolled as participant {no.study}. In {date.abbr_year} she had
{not.eponym}.

Please contact my office manager, {mgr.full}, at {no.email} or extension {no.ext}. Her son {son.full} can be reached
at {no.phone_intl}.

Respectfully,
{md.full}, M.D., Ph.D.
State medical license {no.licence}; NPI {no.npi}; DEA no. {no.dea}
""",
    # pathology
    """SURGICAL PATHOLOGY
Specimen number: {no.accession}          Collected: {date.us}  Received: {date.us}
Patient: {pt.LAST_FIRST_MI}     Med Rec #: {no.mrn}     Acct: {no.account}
Submitting physician: {sub.FULL}, MD     Copy to: {cp.LAST_COMMA}

CLINICAL HISTORY: {age.old} year-old female, {not.eponym}. Prior biopsy {date.my}.
GROSS: Received in formalin labeled "{pt.last}, left breast" is a 3.4 x 2.2 x 1.8 cm fragment. Sections 1A-1F.
MICRO: {not.gene} positive, Ki-67 20%, {not.gene} wild type. {not.fraction}. Gleason not applicable.
DIAGNOSIS: Invasive ductal carcinoma, Nottingham grade 2, 3/14 nodes positive. Stains: Congo red negative,
Ziehl-Neelsen negative, Giemsa.
COMMENT: Reviewed in consultation with Drs. {pa.last} and {pb.last}. Results called to {rn.full}, RN, in {place.town}
on {date.abbr} at 1510.
Sent to reference lab, {place.box}, {place.town}, {place.st} {place.zip9}.

***Electronically Signed Out*** {path.FULL}, M.D. {date.us_mixed}
""",
    # pediatric / neonatal
    """NEONATOLOGY ATTENDING PROGRESS NOTE
Baby boy {pt.last}, DOL 4, born {date.md} at 31 {not.time}. BW 1450 g. {not.fraction}. On CPAP 5, 21% FiO2. Wt 1420
(down 30). TF 120 cc/kg/day.
Mother is {mom.full}, a {age.young} y.o. G3P2 from {place.town}; father {dad.first} involved. Maternal great
grandmother is {age.old}, alive.
Parents updated by {nnp.full}, NNP, on {date.the_th}. OB: Dr. {ob.last} ({place.facility}). Pedi will be {ped.full},
MD, of {place.town}, tel. {no.phone}.
Newborn screen sent {date.dmy_short}, kit no. {no.accession}. Bili 8.4/0.3. {not.lab}. {not.month}.
Mother's chart {no.mrn}. Breast pump serial #{no.serial}. Mom's email: {no.email}. Grandma {gm.first} to bring car
seat; drives {no.plate} plate.
Imp: AGA preterm infant. Plan: {not.dose}? no. Continue caffeine. Head US {date.md0}.
{att.full}
Attending Neonatologist   beeper #{no.pager}
""",
    # telehealth / neurology consult
    """NEUROLOGY CONSULTATION (VIDEO VISIT)
Requested by {req.full}, DO. Date: {date.abbr}. Session host {no.ip}, client {no.ipv6}, link {no.url}.
HISTORY: {pt.full} (goes by {nick.first}) is a right-handed {age.young}yo man referred for {not.eponym}. He was in a
motor vehicle collision on {date.dots}
in {place.town}; his truck, VIN: {no.vin}, license tag {no.plate}, was totaled. His girlfriend {gf.first} and his
uncle, {un.full}, provided history.
He commutes from {place.town} to {place.town} daily. PMH: {not.eponym}. Meds: {not.dose}; {not.dose}. FH: grandfather
with {not.eponym}, died aged {age.old}.
EXAM: {not.vital}. {not.fraction}. {not.anatomy}. Romberg negative. Hoffmann absent bilaterally. MoCA 26/30.
DATA: MRI brain {date.us_short}: Fazekas grade 1. EEG {date.abbr_dot}. {not.lab}.
VNS implant UDI {no.udi}.
Attorney: {law.full}, Esq., of {place.street}, claim file {no.account}, cell {no.phone}. SSN on file {no.ssn_plain};
health insurance number {no.plan}.
A: probable {not.eponym}. Discussed w/ {fel.first} {fel.last}. Return in {not.time}. {not.month}
Signed: {neu.full}, MD   badge number {no.badge}
""",
    # case management, lower case hurried
    """case mgmt note {date.us_short}
pt from {place.facility}, {place.town}. d/w dr. {md.Last} and rn {rn.first}. {pt.first}'s dtr {dau.full} wants rehab
closer to {place.town}. Referral sent to {place.facility}
and {place.facility}; liaison {lia.full} screening. Ins auth pending, member # {no.plan}, ref acct no. {no.account}.
Contact: {dau.first} {no.phone7}.
PT eval: {not.fraction}, ambulates 50 ft. OT eval {date.md}. {not.vital}. {not.dose}. LTAC declined. VA benefits:
claim # {no.accession}, last four {no.ssn4}.
Ambulance {date.month_day} 1100 confirmed by {disp.full}. {pt.last} aware and agrees. Pt's address {place.apt},
{place.town} {place.st} {place.zip}.
UK number for sister {no.phone_intl}, postcode {place.postcode}.
-- {cm.full}, RN, CCM, ext {no.ext}
""",
    # anesthesia pre-op and medication clinic
    """PRE-ANESTHESIA EVALUATION
{pt.LAST_FIRST}  MRN {no.mrn}  {age.young}M   Scheduled: {date.us}   Surgeon: {surg.last}
Airway: Mallampati II, TM distance 3 FB. Macintosh 3 blade last time ({date.month_year}). ASA III. {not.lab}.
{not.vital}.
PMH: {not.eponym}; {not.eponym}; {not.anatomy}. Insulin pump (serial: {no.serial}). Takes {not.dose}, {not.dose},
{not.dose}.
Driving home with {friend.full} (friend), {no.phone}. Lives alone in {place.town}. Brother-in-law {bil.first} will
stay overnight.
History obtained in Spanish via interpreter {int.full}, interpreter ID {no.badge}. Research: subject ID {no.study}
(IRB). Driver license {no.licence}.
Confirmation mailed to {no.email}. Consent witnessed by {wit.full}. {not.gene} carrier. {not.month}.
Insurance: Aetna, ID# {no.plan}; authorization job {no.job}
{ane.full}, CRNA / {att.full}, MD  {date.stamp} 07:10
""",
)  # fmt: skip
