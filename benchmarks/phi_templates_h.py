"""Template set "h" of the invented notes: those of a general US hospital and its clinics, written without sight of the
rules or of what they miss.

Years, clock times, states, countries, insurers, makers, unit names and public numbers such as 911 are no
identifiers under Safe Harbor and are not planted; names of staff and of facilities are, as in the other sets.
"""

from __future__ import annotations

# fmt: off
NOTES = (
    # nursing progress note
    """NURSING PROGRESS NOTE   {date.mdy} 0715-1930
Pt: {pt.last_first_mi}   MRN: {no.mrn}   DOB: {date.born}   Attending: Dr. {att.last}
Neuro: A&Ox3, {not.exam}. Resp: {not.vs}, weaned off {not.vent}. GI/GU: Foley patent, 450 mL clear yellow. Skin:
{not.score}, stage 2 to coccyx 1.5 x 2 cm, Mepilex changed. {not.med} given at 0900; {not.lab}. Pt up to chair with PT.
1420: Pt c/o chest tightness. Dr. {att.last} paged at {no.pg}, orders rec'd. EKG done, no change from {date.md}.
1600: daughter {dau.full} at bedside, updated. States pt lives alone on {place.street} and that neighbor {nb.first}
checks on her. Call {dau.first} at {no.tel} with any changes. Will continue to monitor. May have ice chips.
{rn.full}, RN    badge #{no.staff}
""",
    # radiology report
    """EXAM: CT CHEST WITH CONTRAST
Patient: {pt.LAST_FIRST}     ID: {no.mrn}     Accession: {no.acc}
Exam date: {date.pad} 13:42     Ordering: {ord.FULL}, MD     Location: {place.facility_caps}
HISTORY: {age.young} year old with {not.dx}, cough {not.when}.
COMPARISON: CT {date.mdy2}; outside radiograph from {place.facility} dated {date.full}.
TECHNIQUE: Omnipaque 350, 80 mL. 120 kVp. DLP 412 mGy-cm.
FINDINGS: 8 mm nodule in the right upper lobe (series 4, image 91), previously 6 mm. Hill-Sachs deformity. Schmorl
node at T9. Mild compression at {not.spine}. Bochdalek hernia. {not.line} in good position.
IMPRESSION: Enlarging nodule, Lung-RADS 4A. Fleischner guidelines. {not.code}. Discussed with Dr. {ord.last} by phone
({no.tel}) at 14:20 on {date.mdy}.
Dictated by: {res.full}, MD (resident)   Read and signed: {rad.full_mi}, MD   {date.pad} 15:06
""",
    # pathology
    """SURGICAL PATHOLOGY REPORT                         Case: {no.path}
Name: {pt.full_mi}    Sex: F    DOB: {date.born}    Med Rec: {no.mrn}    Acct: {no.acct}
Collected: {date.mdy}    Received: {date.mdy}    Reported: {date.mdy}
Submitting: {sx.full}, M.D., {place.facility}, {place.town}, {place.st}. cc: {pcp.full}, D.O. Fax: {no.fax}
DIAGNOSIS: A. Breast, left, lumpectomy: invasive ductal carcinoma, Nottingham grade 2 (3+2+2=7), 1.4 cm; pT1c pN0(sn).
ER 95%, PR 80%, {not.gene}, {not.gene}. B. Sentinel node #1: 0/2. No Paget disease. {not.code}.
GROSS: Received fresh labeled "{pt.last}, {pt.first}" is a 6.2 x 5.0 x 2.1 cm specimen. Blocks A1-A12, B1-B2. Reed-
Sternberg cells not applicable. H&E, CK7, GATA3. Prior case {no.path} was reviewed; see also {not.lit}.
Block A4 sent to outside laboratory under requisition {no.ref}. Results to {no.mail}.
{path.full}, MD, Pathologist (electronic signature, {date.mdy} 4:51 PM)   PA: {pa.first} {pa.last}
""",
    # ED triage
    """ED TRIAGE   Arrived {date.mdy2} 2214   ESI 2   Mode: EMS   Acct# {no.acct}
{pt.LAST_FIRST}  {age.young} M   CC: MVC, neck pain    PCP: {pcp.last}    Preferred name: {pt.nick}
Restrained driver of pickup (tag {no.plate}) struck near {place.town}. +LOC? Airbags. EMS c-collar, {not.line}.
{not.vs}. {not.exam}. {not.score}. Pain 7/10 at {not.spine}. PMH {not.dx}. Meds: {not.med}. Tdap 2016. NKDA.
Trooper {trp.full} present, report no. {no.ref}. Passenger {wf.full} (wife) in triage too, unhurt.
ID: driver's license {no.dl}. Emergency contact: {mo.full}, mother, {no.tel}. Address {place.street}, {place.town},
{place.st} {place.zip}. Insurance: Medicaid ID {no.member}.
Triage RN: {rn.f_last} 2219.  MD: {md.last}. May go to CT. Call 911 reviewed w/ family. Rose from stretcher unaided.
""",
    # social work
    """SOCIAL WORK ASSESSMENT                    {date.wk}
Referred by {md.full}, MD for discharge planning. Met with {pt.full} at bedside; sister {sis.full} joined by phone
({no.tel}). Pt is a {age.young} y/o divorced man, raised in {place.town}, {place.state}, staying at {place.shelter}
since he lost his apartment ({place.apt}). Worked at {place.work} until {date.month}. Receives SSI; last 4 of SSN
{no.ssn4}. Medicaid {no.member}; food stamps case {no.ref}. Car (plate {no.plate}) impounded {date.md}. Drinks 1/2 pint
{not.when}; AUDIT 22/40, {not.score}. Mother {mo.first}, {age.old}, is in {place.care}. Probation officer {po.full}
in {place.county}, docket {no.case}, x{no.ext}. Hx {not.dx}. He rose from bed unaided and hopes to walk uphill to the
bus again. Mr. {pt.last}'s goal: "my own place." Will follow.
Plan: bed search; {place.facility} intake ({ik.first}, {no.tel}, fax {no.fax}, {no.mail}).
{sw.full}, LCSW   lic. {no.lic}
""",
    # operative note
    """OPERATIVE NOTE   {place.facility}
Name {pt.full}   MR# {no.mrn}   Date of surgery {date.full}
Surgeon: {sx.full}, MD   Assistant: {as.full}, PA-C   Anesthesia: general, Dr. {an.last}   EBL: 250 mL
Preop dx: spondylolisthesis {not.spine}, {not.dx}. Postop dx: same. Procedure: {not.spine} TLIF, laminectomy. {not.code}
Implants   {not.maker} screw 6.5 x 45 mm x4     lot {no.lot}
           rod 5.5 mm x2                        lot {no.lot}
           stimulator                           s/n {no.serial}   UDI {no.udi}
Details: After informed consent the patient was positioned prone on the Jackson table; Mayfield pins were not used.
A Bovie, Cobb elevators, Kerrison rongeurs and a Penfield 4 were used. {not.line} placed. Closed with 0 Vicryl, 2-0
Vicryl and 3-0 Monocryl. Ancef 2 g. Neuromonitoring by {mon.full}, stable; {not.exam} in PACU. Counts correct.
I spoke with Mrs. {pt.last} and her son {son.first} afterwards. Dr. {sx.last} was present for the entire case.
""",
    # telephone encounter
    """Telephone encounter  {date.mdy} 10:47 AM   taken by {ma.full}, MA
Caller: {pt.full} (self)   Callback #: {no.tel}, alt {no.tel}
Pt calling re refill of {not.med}, out {not.when}. Rx # {no.rx}. Pharmacy moved to {place.street} in {place.town}, ph
{no.tel}, fax {no.fax}. Also c/o dizziness, home readings {not.vs}. Last seen {date.md} by Dr. {md.last}. Advised ED if
worse, or 911. Pt will see if husband {hus.first} can drive. Wants lab results ({not.lab}) sent to {no.mail}.
>> {date.mdy} 1:15 PM  {md.full}, MD: OK to refill #30, 2 RF. {not.lab} is fine. Needs appt before {date.mon}.
>> {date.mdy} 3:02 PM  {rn.full}, RN: LM for {pt.first} on {no.tel}. Appt {date.wkmd} 9:40. {pt.first}'s ins changed,
new ID {no.member}.
""",
    # clinic letter
    """{place.facility}
{place.street}, {place.town}, {place.state} {place.zip9}     Tel {no.tel}  Fax {no.fax}
{date.full}
{ref.full}, M.D.
{place.street}
{place.town}, {place.st} {place.zip}
RE: {pt.full}      DOB: {date.born_long}      Our chart: {no.mrn}
Dear {ref.first},
Thank you for asking me to see Ms. {pt.last}, a delightful {age.young}-year-old teacher with {not.dx}. Since your visit
in {date.month} she has had tremor {not.when}. She takes {not.med} and {not.med}. On examination {not.vs}; {not.exam}.
Hoehn and Yahr stage 2. {not.lab}. Her mother, {mo.full}, had {not.dx}; her brother {bro.first} is well. I suspect
{not.dx}; based on {not.lit} I would start {not.med}. {pt.first} will return in 3 months, and sees Dr. {oth.last} on
{date.mon}. With warm regards,
{con.full}, M.D., Ph.D.    NPI {no.npi}    {no.mail}
""",
    # discharge summary
    """DISCHARGE SUMMARY
Patient Name: {pt.full_mi}                MRN: {no.mrn}            CSN: {no.acct}
Admission Date: {date.mdy}                Discharge Date: {date.mdy}
Attending: {att.full}, MD      PCP: {pcp.full}, NP ({no.tel})      Disposition: {place.care}
HPI: {age.old} y.o. male with {not.dx}, CKD, who was brought in by his grandson {gs.first} after a fall at home in
{place.town}. Hospital course: #Sepsis - {not.vs} on arrival, {not.lab}. Cultures {date.md} grew E. coli; {date.md}
negative. {not.med} through {date.md}. Intubated {date.md}-{date.md}, {not.vent}. #AF: {not.med}. CHADS2 3. #Goals:
palliative (Dr. {pal.full}) met with {pt.first}'s family, incl. {gs.full} and {dau.full}; DNR/DNI signed {date.md}.
Discharge meds: {not.med}; {not.med}. Labs at d/c: {not.lab}. {not.score}.
Follow up: {pcp.last} {date.mdy} at 2:30 PM; {car.full}, cardiology, {no.tel}. Pending: {no.path}. Code {not.code}.
Patient {pt.last} was seen and examined. 35 minutes. {res.full}, PGY-2, pager {no.pg} / {att.full}, MD
""",
    # home health
    """HOME HEALTH VISIT NOTE - SN        Agency: {place.agency}
Patient {pt.last_first}    SOC date {date.pad}    Visit date {date.pad}    HIC/MBI {no.member}
Cert {date.md}-{date.md}. Address verified: {place.apt}, {place.town} {place.zip}. Lives w/ spouse ({sp.first},
{age.old}, hard of hearing). {not.vs}. Wound L shin 3.2 x 1.8 x 0.2 cm. Taught {not.med}. FSBS log 98-143, 110-205.
{not.score}. {not.exam}. O2 concentrator ser# {no.serial}, 2 L. Wound vac unit {no.serial}. Scale reads 91.2 lb.
Denies falls {not.when}. Gate code and key per daughter {dau.full}, {no.tel}. Dog in yard. Aide {aide.full} 3x/week.
MD {md.last} notified of weight gain; fax {no.fax}. Next visit {date.wkmd}. Homebound d/t {not.dx}.
{rn.full} RN, lic # {no.lic}      Patient signature on file
""",
    # hurried dictation, lower case
    """this is dr {md.Full} dictating on {pt.Full} medical record number {no.mrn} date of service {date.Low}
pt is a {age.young} yo f w hx of {not.dx} and {not.dx} presents w/ sob {not.when}. she was in {place.town_low} visiting
her son {son.Full} when she got sick, went to urgent care on {date.md} given {not.med} no better. lives at
{place.street_low} with husband {hus.First} who smokes 1/2 ppd. {not.vs}. {not.exam}. {not.lab} cxr neg. she may have
{not.dx}. will get echo {date.md} and see dr {card.Last} at {place.facility_low}. d/w {rn.First} the charge nurse. i
called the son at {no.tel} and he will mark her calendar. plan {not.med}, rtc {date.Low}. call pt w/ results cell
{no.tel}. thanks
dictated not read, {md.Last}, job {no.ref}
""",
    # flowsheet and medication record
    """MAR / FLOWSHEET    {pt.last_comma}    {no.mrn}    Adm {date.mdy2}    Wt 91 kg    Allergy: PCN
Date    Time   T     HR   BP       RR  SpO2   Pain   RN
{date.pad2}   0400   98.2  88   118/64   16  95     3/10   {n1.f_last}
{date.pad2}   0800   99.1  92   124/71   18  94     2/10   {n2.f_last}
{date.pad2}   1200   98.9  90   131/80   20  93 RA  0/10   {n2.f_last}
{not.med}            0900 given  2100 held (HR 52)
{not.med}            0600 given  1800 given
Drips: NE 0.05, propofol 20. Vent: {not.vent}; CVP 8-12; I/O +1240/-2010. {not.line} d3. {not.score}. {not.lab}
PCA pump {no.serial} co-sign {n3.last}. Blood: PRBC unit {no.unit} start 1015. Family contact: {fam.full} {no.tel}
Isolation: contact. MD {md.last_first}. Verified by {n1.full}, RN and {n2.full}, RN  {date.mdy2} 1930
""",
    # ambulance run
    """PREHOSPITAL CARE REPORT   Incident {no.ref}   {date.pad}   ALS crew
Dispatched 18:07 to {place.street}, {place.town} for chest pain. Pt {pt.full}, {age.young} y/o M, DOB {date.born}, SSN
{no.ssn}. Found seated in vehicle, plate {no.plate}, VIN {no.vin}, in lot of {place.work}. Bystander {by.full} gave
aspirin. {not.vs}. 12-lead ST elev II III aVF, reciprocal I aVL. {not.line}. NTG 0.4 SL x2, {not.med}. {not.score}. LP15
monitor s/n {no.serial}. Wife {wf.first} ({no.tel}) notified. STEMI alert 18:31. Transport to {place.facility}, care to
Dr. {ed.last} and {rn.first}, RN at 18:49. Mileage 91.4-97.0. Narrative: pt states he "may be allergic" to sulfa. Hx
{not.dx}.
Crew: {med.full}, NRP, cert {no.lic}; {emt.full}, EMT, cert {no.lic}
""",
    # telehealth psychiatry
    """TELEHEALTH PSYCHIATRY FOLLOW-UP  {date.long_th}
Platform link {no.url}; patient connected from IP {no.ip}, provider from {no.ip6}. Patient's location: home in
{place.town}, {place.state}. Identity: DOB {date.born_mdy} and last four of SSN {no.ssn4}. Consent e-mailed to
{no.mail}. {pt.full} ("{pt.nick}") is a {age.young} y/o veteran with PTSD and {not.dx}. {not.score}, GAD-7 12, C-SSRS
neg. Sleep 4-5 h. Works nights at {place.work}. Separated from {ex.first}; son {kid.first}, age 9, stays with
{gm.full} in {place.town}. Takes {not.med}. PDMP checked. No SI/HI. Safety plan: call brother {bro.first} {no.tel}; 988.
{pt.last} posts about his recovery at {no.url}. MSE: calm, will engage, judgment fair. {not.code}. RTC 4 wk, {date.md}.
{md.full}, MD  DEA {no.dea}  Lic. {no.lic}    Logged {date.sql} 16:20:11 from {no.ip}
""",
    # prior authorisation
    """FAX COVER / PRIOR AUTHORIZATION REQUEST            {date.pad}
TO: Aetna Utilization Mgmt   FAX {no.fax}     FROM: {co.full}, {place.facility}   PH {no.tel} x{no.ext}   FAX {no.fax}
Member: {pt.last_first}    Member ID: {no.member}    Pt acct: {no.acct}    DOB: {date.born}    Subscriber SSN: {no.ssn}
Subscriber: {sub.full} (spouse), {place.street}, {place.town}, {place.st} {place.zip9}
Service: {not.code}, {not.code}; dx {not.code}.  Drug: NDC 0074-3799-02, Humira 40 mg/0.8 mL q2wk.  Auth ref: {no.ref}
Clinical: {pt.first} has {not.dx}, failed {not.med} (2018-2019) and methotrexate 20 mg. {not.lab}. {not.lit}.
Prescriber: {md.full}, MD   NPI {no.npi}   DEA {no.dea}   State lic {no.lic}.  Peer-to-peer: {no.tel} after 3 PM.
Denied {date.mdy}; appeal filed {date.mdy} by {co.first}. Upload portal {no.url}, confirmation {no.ref}.
""",
    # labour and delivery
    """L&D DELIVERY NOTE
{pt.full}, 31 y.o. G3P2002 at 39w2d (LMP {date.mdy}, EDD {date.mdy}), MRN {no.mrn}. GBS neg. Rh pos. Blood O+.
Adm {date.md} 0310 with SROM. {not.vs}. FHR 140s, cat 1. Epidural by Dr. {an.last}. Pitocin 2-12 mU/min. McRoberts,
Woods screw not needed. Complete at 1105. NSVD of viable girl "{baby.first}" at 1142 on {date.full}, 3,412 g, Apgars
8/9. Baby's MRN {no.mrn}, band {no.staff}. Placenta intact 1150, Duncan. 2nd degree repaired with 3-0 Vicryl. QBL 310
mL. Braxton Hicks earlier; no Bandl ring. Father of baby {fob.full} cut the cord; doula {doula.first} present. Midwife:
{cnm.full}, CNM. Peds: Dr. {ped.full} will see {baby.first} {pt.last} in nursery. Home to {place.street}, {place.town}.
Doula can share photos: {no.url}. Contact {no.mail}. {rn.full}, RNC
""",
    # infusion and research visit
    """ONCOLOGY INFUSION / RESEARCH VISIT      Cycle 4 Day 1      {date.oracle}
Subject {no.subj} (initials {pt.initials}), randomization no. {no.subj}. Per {not.lit}. Consent v3.1 signed
{date.oracle}. {pt.full}, {age.young}F, {not.gene}, stage IIIA (T2aN2M0) NSCLC. ECOG 1. {not.vs}. {not.lab}. BSA 1.91.
Calvert AUC 5. Pemetrexed 500 mg/m2 = 955 mg; carboplatin 550 mg; pembrolizumab 200 mg. Port (Huber 20g), serial
{no.serial}, good return. Grade 1 nausea {not.when}. {not.exam}. RECIST -32%. Ms. {pt.last} asked to move C5 from
{date.short} to {date.short} because she will be in {place.town} for {gd.first}'s graduation.
Transport arranged w/ {drv.first}, {no.tel}. CRC: {crc.full}, {no.mail}, ext {no.ext}. PI: {pi.full}, MD. Tissue block
{no.path} shipped {date.oracle}, tracking {no.acc}.
""",
    # sleep and equipment
    """DME ORDER - PAP THERAPY                                   Order date: {date.mdy}
Beneficiary {pt.full_mi}   Medicare # {no.member}   DOB {date.born_mdy}   SS# {no.ssn9}   Tel {no.tel}
Ship to {place.street}, {place.town}, {place.st} {place.zip}    Acct with supplier {no.acct}
AirSense 11 SN {no.serial}, device no. {no.serial}, humidifier s/n {no.serial}. Pressure 8-14 cmH2O, ramp 20.
{not.code}. PSG {date.mdy} at {place.facility}: AHI 31.4, nadir 82%. Epworth 15/24. Mallampati III. BMI 36.
Cheyne-Stokes absent. Download {date.mdy}: use 91% nights, 5.6 h, leak 12. Upload host {no.ip}; {no.ip6}. Patient view:
{no.url}. Mr. {pt.last} reports {not.dx}, {not.med}. RT {rt.full} fitted an F20 medium. Spouse {sp.first}: no snoring.
Ordering: {md.last_first}, MD   NPI {no.npi}   signed {date.mdy}
""",
    # fitness to drive
    """COMMERCIAL DRIVER MEDICAL EXAMINATION       {date.mdy}
Driver: {pt.last_first_mi}   DOB {date.born_mdy}   CDL {no.dl} ({place.st})   SSN {no.ssn}   Employer: {place.work}
Home: {place.street}, {place.town}. Cell {no.tel}. Email {no.mail}. Tractor VIN {no.vin}; unit plate {no.plate}.
Vision 20/25 20/30 OU 20/25, field 90/90. Whisper 5 ft. BP 138/88, 134/86. UA SG 1.020 prot neg. {not.exam}.
{not.score}. Hx: {not.dx}, CPAP, {not.med}. Crash in {date.month} in {place.town}, own car ({no.plate}) totaled. A1c
7.1. Card valid to {date.mdy}. Drug screen specimen {no.acc}, collected 0940 by {col.full}. MRO Dr. {mro.last}. Letter
faxed to safety manager {mgr.full} at {no.fax}. Billed {not.code}.
{ex.full}, DO, National Registry {no.lic}, state license {no.lic}
""",
    # device clinic
    """DEVICE CLINIC / REMOTE CHECK   {date.sql}
{pt.full}  MRN {no.mrn}  ICD implanted {date.dm} at {place.facility} by {ep.full}, MD for Brugada syndrome.
Gen: Medtronic Evera, serial {no.serial}, UDI {no.udi}. RV lead SN {no.serial}, lot {no.lot}. Battery 2.98 V.
ERI 2.73 V. R wave 11.2 mV, 0.75 V @ 0.40 ms, 456 ohm, shock 61 ohm. VT zone 188, VF 214. VP <1%, AT/AF 0.2%. NSVT x2 on
{date.dm}. Bundle of His not paced. {not.med}. {not.lab}. Remote monitor gateway {no.ip}; patient site {no.url}, login
{no.mail}. {pt.first}'s wife {wf.first} says the monitor sits in their camper (VIN {no.vin}, plate {no.plate}). Alerts
to {no.tel}.
{np.full}, ACNP    rep: {rep.full}, cell {no.tel}. Next remote {date.dm}.
""",
    # registration
    """REGISTRATION / FINANCIAL COUNSELING            Printed {date.pad} 08:31   terminal {no.ip}
Patient        {pt.LAST_FIRST_MI}             HAR {no.acct}
SSN            {no.ssn}                Race W  Ethnicity NH  Lang English  Relig Cath
Address        {place.street_caps}, {place.town_caps} {place.st} {place.zip9}     County {place.county}
Phone H/C      {no.tel} / {no.tel}      E-mail {no.mail}
Guarantor      {gua.LAST_FIRST}  rel: father  DL {no.dl}  employer {place.work_caps}
Primary        Blue Cross PPO {no.member}    Secondary Medicaid {no.member}
Vehicle        parking permit {no.staff}, plate {no.plate}
Adm dx         {not.dx} {not.code}     Adm MD {adm.last_comma}     Adm date {date.pad}
Balance $1,204.91, last pmt {date.md}, card on file acct {no.acct}. Plan set up by {cou.full} x{no.ext}; see {no.url}.
""",
    # hospice and geriatrics
    """HOSPICE IDT NOTE, week of {date.md}
{pt.full}, {age.old}, admitted {date.full} with {not.dx}. PPS 30%, FAST 7c, MAC 19. {not.vs}.
Kennedy ulcer to sacrum. Roxanol 5 mg SL q4h, {not.med}. Cheyne-Stokes at times. Husband {hus.first} ({age.old}) d.
{date.month}; they wed in {place.town}. RN {rn.full}: comfortable, Foley to gravity. Bed serial {no.serial}.
SW {sw.full}: daughter {dau.full} flies in {date.wkmd}, {no.tel}. Aide {ai.first}: bathed, no falls.
Chaplain {ch.full} anointed {pt.first} {date.md}. Grace said at meals. Volunteer {vol.full}. {not.lab}.
Sister {sis.first} will be {age.old} on {date.mon} and hopes to visit. MD: Dr. {md.last} recertifies {date.md}.
Medicare {no.member}. Caring page {no.url}. Funeral home in {place.town}, {no.tel}.
""",
    # patient portal message
    """MyChart message, {date.short} 9:12 PM. To: {md.full}, MD
Hi Dr {md.last}, this is {pt.first} {pt.last} (dob {date.born_mdy2}). Im having the burning again {not.when} and my
readings are {not.vs}. I take {not.med} but lost the bottle, rx {no.rx}. Can you call it in near my new place at
{place.street} in {place.town}? Cell is {no.tel}, or my mom {mo.first} {no.tel}. My new card says member {no.member}.
May I come in {date.wkmd} ?  thx, {pt.nick}
{date.short} 7:50 AM {rn.full}, RN -> {pt.first}, please see {no.url} for the video slot on {date.md} w/ {np.first}
{np.last}, NP. Bill question (acct {no.acct}) goes to {bil.first} at {no.tel} x{no.ext}. {not.lab} looks good. Client IP
{no.ip}
""",
    # transfer and transplant
    """TRANSFER SUMMARY / SBAR   {place.facility} -> {place.facility}   {date.mdy} 02:40
S: {pt.last}, {age.young}M, decompensated cirrhosis, MELD 31, Child-Pugh C. B: {not.dx}, TIPS {date.month},
Sengstaken-Blakemore tube {date.md} (removed), Dr. {gi.last}. Listed, UNOS ID {no.subj}, donor offer {no.ref}. A:
{not.vs}. {not.lab}. {not.vent}. {not.line} x2. West Haven 3. R: accept by Dr. {acc.full}, bed assigned, transfer center
{no.tel}, report to {rn.first} {rn.last} {no.tel}. Imaging pushed, accession {no.acc}; old MRN {no.mrn}, new MRN
{no.mrn}. NOK {nok.full} (sister) of {place.town}, signed POLST {date.md}. Face sheet faxed {no.fax}. License of flight
RN {fl.full} {no.lic}. SSN {no.ssn} for registry. Interpreter {int.first} #{no.staff} (Spanish). Last drink {date.md}.
Rifaximin 550, lactulose 30 mL. Albumin 25% 1.5 g/kg.
""",
    # court and occupational injury
    """WORKERS' COMP INITIAL REPORT            DOI {date.mdy}   Claim {no.ref}   Carrier acct {no.acct}
{pt.full}, SSN {no.ssn}, {age.young}, forklift operator at {place.work}, {place.town}. R-hand dominant. Seen
{date.mdy}. "I was lifting and felt a pop." Witness {wit.full}; supervisor {sup.first} {sup.last}, {no.tel}. Forklift
serial {no.serial}. {not.exam}. Phalen +, Finkelstein -, Hawkins -, Neer -. Jamar 90/85/88 R, 91/92/90 L. MRI {date.mdy}
({no.acc}): bulge {not.spine}. {not.dx} unrelated. {not.med}. {not.code}. Work status: light duty to {date.md}, max 10
lb. PT 3x/wk x 4. Attorney {law.full}, case {no.case}, {no.mail}, fax {no.fax}. Drove himself, truck {no.plate}. DL
{no.dl} copied. Letter to {place.box}, {place.town}, {place.st} {place.zip}. MMI not reached. Will recheck {date.wkmd}.
{md.full}, MD, Lic {no.lic}  {no.url}
""",
)
