"""Template set "g" of the invented notes, with everything of its own: the held-out one.

Written before the misses of set "f" were looked at and before the rules were changed for the last time: notes as
another kind of hospital keeps them (home care, ambulance, dialysis, dental, poison line, tumour board, courts).
"""

from __future__ import annotations

# fmt: off
GIVEN = """
James Linda Robert Patricia Michael Barbara David Susan Thomas Karen Charles Nancy Daniel Lisa Matthew Betty Anthony
Sandra Steven Ashley Andrew Kimberly Joshua Donna Kevin Carol Brian Amanda Melissa Timothy Deborah Jason Rebecca
Jeffrey Laura Ryan Cynthia Jacob Kathleen Nicholas Amy Eric Angela Stephen Brenda Larry Emma Scott Katherine Brandon
Benjamin Samuel Gregory Christine Alexander Debra Patrick Rachel Raymond Carolyn Jack Janet Dennis Tyler Heather Aaron
Jose Diane Adam Henry Olivia Nathan Julie Douglas Joyce Peter Kyle Ruth Noah Ethan Kelly Jeremy Evelyn Walter
Christian Keith Andrea Roger Terry Hannah Sean Austin Megan Gerald Carl Harold Dylan Roy Ralph Lawrence Bruce Willie
Maribel Ximena Ulises Araceli Ramiro Shivani Vikram Anjali Omkar Yasmin Bilal Zahra Hamza Mei Xiaoling Jun Soojin Binh
Ngoc Tuan Aleksandr Galina Krzysztof Małgorzata Giorgos Fiona Liam Deirdre Björn Astrid Kofi Abena Tunde Folasade
Selam Tesfaye Deshawn Latoya Tanisha Jamal Kaimana Malia Running Dakota Chase Hunter Autumn Crystal Ginger Dusty Iris
""".split()

FAMILY = """
Smith Johnson Williams Brown Jones Garcia Miller Davis Rodriguez Martinez Hernandez Lopez Gonzalez Anderson Taylor
Moore Jackson Martin Perez Thompson White Harris Sanchez Clark Ramirez Lewis Robinson Walker Allen Wright Scott Torres
Nguyen Hill Flores Green Adams Nelson Baker Hall Rivera Campbell Mitchell Carter Roberts Gomez Phillips Evans Turner
Diaz Parker Edwards Collins Reyes Stewart Morris Morales Murphy Rogers Gutierrez Ortiz Cooper Peterson Bailey
Reed Kelley Howard Ramos Ward Richardson Watson Brooks Chavez Wood Bennett Gray Mendoza Ruiz Hughes Alvarez Castillo
Sanders Patel Myers Foster Jimenez Kirby Vandermolen Stoltzfus Yoder Zimmerman Hostetler Schlabach Kauffman Grzybowski
Szymanski Wojcik Bianchi Ferraro Lombardi Papanikolaou Sokolov Ivanchuk Haile Tekle Mengistu Onyango Kamau Boateng
Owusu Eze Nwosu Siddiqui Qureshi Chaudhry Iyer Nair Kulkarni Banerjee Srinivasan Rahman Chowdhury Wang Liu Zhao Cheng
Tsai Kim Jang Shin Watanabe Nakamura Saito Pham Dang Vuong Bui Keawe Kalani Lightfoot Redbird Strand Kvist Dahlgren
Beaulieu Gagnon Cormier Arceneaux Boudreaux MacDougall McCrory O'Dwyer FitzGerald Quigley Prendergast Bowman Cash Day
Drinkwater Goodnight Gold Hardy Knight Lamb Marsh Noble Pike Pope Savage Sharp Sparks Swift Waters Winters Wise
""".split() + ["De Leon", "Van Buren", "La Rosa", "Ocampo-Reyes", "Taylor-Boyd", "al-Hashimi", "St. Pierre"]

TOWNS = [
    "Altoona", "Bellingham", "Cedar Falls", "Dothan", "Elkhart", "Farmington", "Gallup", "Havre", "Idaho Falls",
    "Jonesboro", "Kearney", "La Crosse", "Muskogee", "New Bedford", "Oshkosh", "Paducah", "Quakertown", "Rapid City",
    "San Angelo", "Terre Haute", "Union Grove", "Vicksburg", "Wausau", "Xenia", "Ypsilanti", "Big Bear Lake",
    "White Plains", "Fort Dodge", "Port Townsend", "Lake Charles", "Karachi", "Guadalajara", "Saskatoon", "Cork",
]

STREETS = [
    "Elm Street", "Lincoln Ave", "W. Washington Blvd", "Hickory Hollow Ln", "SE 12th Ave", "Old Mill Road",
    "Martin Luther King Jr. Blvd", "County Road 14", "Maple", "N. 3rd St.", "Foxglove Ct", "Harbor View Terrace",
    "Highway 61", "Prairie Rose Dr.", "Rue St-Denis", "Camino del Sol", "Quail Run", "Turkey Foot Rd",
]

FACILITIES = [
    "Altoona Regional", "Mercy Hospital of Elkhart", "Bethany Lutheran Home", "Gallup Indian Medical Center",
    "Cedar Falls Family Medicine", "Sunnyview Rehab", "Kearney VA Medical Center", "Brookhaven Memory Care",
    "Oshkosh Dialysis Unit", "Covenant Children's", "Our Lady of Peace", "St. Vincent de Paul Clinic",
    "Paducah Orthopedic Associates", "Whispering Oaks", "Wausau West High School", "Lakeshore Community Hospital",
    "Terre Haute State Prison", "Northgate Pharmacy", "University of Saskatoon Hospital", "Harborview Burn Center",
]

DATES = {
    "sl": "%m/%d/%Y", "sl2": "%m/%d/%y", "mil": "%d %b %Y", "milcap": "%d%b%y", "words": "%B %d, %Y",
    "short": "%b %d", "day": "%A, %B %d", "isot": "%Y-%m-%d", "dotted": "%d.%m.%y", "mdy_dash": "%m-%d-%y",
    "bare": "%m/%d", "my": "%b %Y", "ord": "%B %d %Y", "rev": "%Y/%m/%d",
}

CODES = {
    "chart": ("medical_record", ["!######", "!##-###-###", "H!######", "0000######", "MR!#######"]),
    "hic": ("health_plan", ["!##-##-####A", "@!##########", "!########-01", "!@@#-@@#-@@##", "JQU!##@#####"]),
    "acct": ("account", ["!#########", "@@!########", "!####-######", "00!#######"]),
    "soc": ("ssn", ["!##-##-####", "!## ## ####", "XXX-XX-!###"]),
    "bare_soc": ("ssn", ["!########"]),
    "lic": ("licence", ["!#####", "@@!####", "@!#######", "RN-!######", "!##-###-!##", "PT.!#####"]),
    "dea": ("licence", ["F@!######", "B@!######"]),
    "npi": ("licence", ["1!########"]),
    "driver": ("licence", ["@!##-####-####", "@!########", "!########"]),
    "plate": ("vehicle", ["@@@-!###", "!@@@###", "@@ !####", "!##-@@@", "@@@ !###"]),
    "vin": ("vehicle", ["2@!@@##@!#!######", "5YJ@#@##!#@######"]),
    "serial": ("device", ["@@@!######", "!####-####", "!#########", "@!##@####", "SN!######"]),
    "lot": ("device", ["@!####", "!#####@", "@@-!####"]),
    "tel": ("phone", ["(?##) ?##-####", "?##-?##-####", "?##.?##.####", "?##-####", "1-8##-?##-####", "?## ?## ####"]),
    "tel_abroad": ("phone", ["+353 21 !## ####", "+52 33 !### ####", "+1 306 ?## ####"]),
    "beep": ("phone", ["!####", "!###"]),
    "fax": ("fax", ["(?##) ?##-####", "?##-?##-####", "?##.?##.####"]),
    "mail": ("email", ["<name>@<domain>", "<name>.~~@<domain>", "~<name>!#@mail.<domain>"]),
    "web": ("url", ["https://<domain>/visit/!####", "www.<domain>", "http://portal.<domain>/<name>", "<domain>/r/!##"]),
    "ip": ("ip", ["172.16.<octet>.<octet>", "192.168.<octet>.<octet>", "<octet>.<octet>.<octet>.<octet>"]),
    "ip6": ("ip", ["2001:db8:!##:!::!#", "fd00::a!:b!#"]),
    "access": ("other", ["@@-!#-#####", "!#-#######", "@!#######", "!#########"]),
    "case": ("other", ["!#-@@-####", "!#######", "@@@!####", "!###-!####"]),
    "trial": ("other", ["!##-###", "@@#-!##-##", "!#####"]),
}

DECOYS = {
    "eponym": ["Lewy body dementia", "Sjogren's", "a Bankart lesion", "Charcot-Marie-Tooth disease", "Osgood-Schlatter",
               "Tommy John surgery", "the Bristol stool chart type 4", "Moro reflex", "a Salter-Harris II fracture",
               "Weber B ankle fracture", "Rinne and Weber tests", "Lou Gehrig's disease", "Takotsubo cardiomyopathy",
               "Stevens-Johnson syndrome", "Dupuytren contracture", "a Baker's cyst", "de Quervain tenosynovitis",
               "Chiari I malformation", "Beck Depression Inventory 14", "Ehlers-Danlos", "a Bartholin cyst",
               "Peyronie's", "Trendelenburg position", "Nissen fundoplication", "Mohs surgery", "Prader-Willi"],
    "drug": ["Eliquis 5 mg BID", "Lantus 22 units qHS", "Trelegy 100/62.5/25 one puff", "Keppra 750 mg", "Zosyn 4.5 g",
             "Norco 7.5/325", "Xarelto 15 mg", "Humira 40 mg q2wk", "Entresto 49/51", "Augmentin 875-125", "Jardiance",
             "levothyroxine 112 mcg", "D5 1/2 NS at 75 mL/h", "Sinemet 25-100 TID", "vitamin D3 50,000 IU weekly",
             "Pepto-Bismol", "Suboxone 8-2 mg film", "Ozempic 0.5 mg", "Paxlovid", "Gardasil 9", "Coumadin 5 mg"],
    "score": ["GCS 14 (E4V4M6)", "NIHSS 7", "CHA2DS2-VASc 4", "MELD-Na 22", "Apgars 8 and 9", "Braden 17", "PHQ-9 11",
              "ECOG 1", "ASA 3", "Mallampati II", "Gleason 3+4=7", "BI-RADS 4A", "MoCA 24/30", "MRS 3", "Wells 4.5"],
    "lab": ["Na 134, K 4.1, Cl 99", "troponin 0.04 -> 0.11", "HbA1c 8.2%", "WBC 14,200", "lipase 1,204", "INR 2.4",
            "pH 7.31/48/90", "AST/ALT 92/101", "BNP 1840", "TSH 91.2", "ferritin 97 ng/mL", "CRP 90", "INR 1.1-1.3",
            "platelets 93", "urine cx >100,000 CFU", "PSA 4.7", "glucose 98-143-211", "CD4 94", "Hgb 9.1 from 9.6"],
    "vital": ["BP 138/92, P 96, R 18, T 99.1", "94% on 2 L", "HR 91-104", "weight 93.2 kg", "SpO2 92 RA",
              "170/95 lying, 152/91 standing", "RR 22, sat 90%", "temp 37.9", "height 5'9\", BMI 31.4", "FHR 145"],
    "misc": ["over the last 3-4 weeks", "1/2 pack per day since 1987", "L5-S1", "in the 1990s", "at 0300", "x 10 days",
             "in 2011", "every 4-6 h", "T2N0M0", "3 x 4 cm", "10/10 pain", "stage IIIB", "Room air", "HCPCS G0402",
             "ICD-10 E11.65", "CPT 99214", "grade 2/4", "2 of 3 bottles", "an 18-gauge", "4+/5 strength", "q 8 h"],
}

NOTES = (
    # home care
    """PRAIRIE HOME CARE  --  SKILLED NURSING VISIT
Client: {pt.last_first_mi}   Chart {no.chart}   Medicare: {no.hic}
Visit {date.sl2}, in 0905 out 0958. Residence: {place.street}, {place.town} {place.st} {place.zip}

Pt sitting up in recliner, {age.old} y/o widow, dtr {dau.first} here from {place.town} for the week. {not.vital}.
Wound R heel {not.misc}, no odor. Taking {not.drug} and {not.drug} as ordered. Braden done, {not.score}.
Neighbor ({nbr.full}) brings meals. {pt.first} says she fell {date.short} but did not tell anybody.
SN called MD office, spoke to {clerk.first}, message left for Dr {md.last} re: {not.lab}. Order faxed to {no.fax}.
Lifeline pendant tested, unit {no.serial}. Next visit {date.bare}. Emergency contact: {dau.full} {no.tel}.
{nurse.full} RN, lic. {no.lic}
""",
    # ambulance
    """EMS PATIENT CARE REPORT     Incident {no.case}     {date.isot}
Dispatched to {place.street} for fall. Crew: {one.last}/{two.last}. Arrived to find {age.old}F supine on kitchen floor,
A&Ox3, {not.score}, {not.vital}. Husband {hus.first} ({age.old}) states pt tripped over the dog. Hx of {not.eponym},
CHF.
Meds {not.drug}, {not.drug}. Pt's vehicle in drive, tag {no.plate}, keys given to deputy {cop.last}.
Transported non-emergent to {place.facility}; report to {rn.full}, RN. SSN {no.soc}. DOB {date.sl}.
Insurance card copied: {no.hic}. Monitor {no.serial}. Call-back {no.tel}.
E-signed {one.full}, NRP #{no.lic}
""",
    # letter between practices
    """{place.facility}
{place.street}
{place.town}, {place.st} {place.zip}
Phone {no.tel} | Fax {no.fax} | {no.web}

{date.words}

RE: {pt.full_mi}   DOB: {date.sl}   Our #: {no.chart}

Dear {md.first},

It was a pleasure to see your patient {pt.full} in follow-up of {not.eponym}. As you know, Mr. {pt.last} is {age.young}
and retired from the railroad in {place.town}. He tolerated {not.drug} poorly and we changed to {not.drug} on
{date.mil}. On exam {not.vital}; {not.misc}. His labs of {date.mdy_dash} showed {not.lab}. His brother {bro.first}, who
has {not.eponym}, came along, and their mother is alive at {age.old}. Dr. {sx.full} will see him {date.day}.

Warm regards,

{own.full_mi}, DO
NPI {no.npi}
cc: {sx.last}, {pcp.full}; patient portal ({no.mail})
""",
    # dialysis
    """Hemodialysis run  {date.rev}   {pt.LAST_FIRST}   ID band {no.chart}
Machine 12 s/n {no.serial}; dialyzer lot {no.lot}. Dry wt {not.vital}. Access: L BC fistula ({sx.last} {date.my}).
Pre {not.vital}  Post {not.vital}   UF 2.4 L   Qb 400   {not.lab}
Epogen 8000 units, {not.drug}. Cramping at 1115, NS 200 mL, resolved. {pt.first} asked to be moved to the MWF shift so
that his wife {wife.first} can drive him from {place.town}. SW {sw.full} aware. Transport co. called at {no.tel}.
Charge: {chg.F_LAST} RN   Tech: {tech.first} {tech.last}
""",
    # tumour board
    """TUMOR BOARD -- {date.words}
Case 3. {pt.last}, {pt.first}. MRN {no.chart}. Age {age.old}. Presenter: {pres.full} (Surg Onc). Path accession
{no.access}. Discussion: {not.misc}, {not.score}. Prior {not.eponym}. {rad.last}: no metastases on the PET of
{date.sl2}.
{onc.last} favors {not.drug}; {path.last} to add Ki-67. Eligible for protocol {no.trial}? Coordinator
{coord.full}, {no.mail}. {not.lab}. Family lives near {place.facility} in {place.county}. Her sister {sis.first} was
BRCA2 positive and died at 58; an aunt lived to {age.old}.
""",
    # legal and disability
    """INDEPENDENT MEDICAL EXAMINATION
Claimant: {pt.full}; Claim No. {no.case}; Employer: {place.facility}
Date of injury: {date.words}    Date of exam: {date.words}
Photo identification: driver's license {no.driver}; social security number {no.soc}.

The claimant was identified and accompanied by attorney {law.full}. He was operating a forklift (VIN {no.vin}) when
{wit.full}, a coworker, backed into him. Seen the same day at {place.facility} by {er.full}, PA-C. {not.eponym} was
suspected. Mr. {pt.last} reports {not.misc} and takes {not.drug}. He lives at {place.apt} in {place.town}.
On examination {not.vital}; {not.score}. Records from Dr. {md.last} dated {date.mil} and {date.ord} were reviewed.
Impairment 8% whole person, AMA Guides 6th ed., Table 15-3.

{ime.full}, M.D., License {no.lic}, Board certified
""",
    # messages
    """Patient portal message  {date.isot} 08:14
From: {pt.full}
To: {md.full}, MD
Hi Dr. {md.last}, its {pt.first} again. Pharmacy ({place.facility}) says they never got the {not.drug}. My number
changed, its {no.tel} now and email {no.mail}. Mom turns {age.old} on {date.short} so we'll be in {place.town} that
week.
Also my new insurance is member # {no.hic}. thanks
---
Reply {date.isot} 11:52, {nurse.first} B., RN: Hi {pt.first}, resent today. Please log on at {no.web}. Bring {not.lab}
results. Logged from {no.ip}.
""",
    # poison line
    """POISON CENTER CASE {no.case}   {date.milcap} 2147
Caller: {mom.full} (mother), {no.tel}. Exposure: {kid.first}, 3 yo, 11 kg, ?? tabs {not.drug} found open, belongs to
great-grandmother, {age.old}, {nana.full}. Zip {place.zip}. Site: home, {place.town}. Sx none. {not.vital}.
Rec: observe 6 h, ED if drowsy. Call back 0030 {no.tel}: {kid.first} asleep, easily woken. {not.lab} n/a.
SPI: {spi.F_LAST}. Workstation {no.ip6}. Toxicologist paged {no.beep}: Dr {tox.last}, agrees.
""",
    # device clinic
    """PACEMAKER CLINIC NOTE
{pt.full_mi} ({no.chart}) {date.sl}
{age.old}-yr-old gentleman s/p dual-chamber device for sick sinus ({place.facility}, {date.my}; implanter {ep.last}).
Generator model W1DR01, serial {no.serial}. RA lead s/n {no.serial}, RV lead s/n {no.serial}. Battery 7.2 yr.
P 2.1 mV, R 9.4 mV, thresholds 0.75 V @ 0.4 ms. AP 92%, VP 3%. AF burden 0.1%. {not.drug} continued. {not.eponym}
noted.
Remote monitor paired; account {no.acct}; web {no.web}. Tech support ticket {no.case}. Rep {rep.full} ({no.tel})
present.
Recheck {date.short} with {np.full}, CNP.
""",
    # prison and court health
    """SICK CALL  {place.facility}   Inmate {pt.LAST_FIRST}  #{no.case}
{date.milcap}. C/o chest tightness {not.misc}. Officer {co.last} escorting. {not.vital}; {not.score}. EKG nsr. Given
{not.drug}. I/M states was seen at {place.facility} in {place.town} in {date.my} by "a Dr. {old.last}". Records
requested,
fax {no.fax}. Next of kin: {kin.full}, grandmother, {age.old} yrs, {place.street}, {place.town}. {pt.last} returned
to unit.
{pa.full}, PA  DEA {no.dea}
""",
    # registration sheet
    """FACE SHEET   PRINTED {date.sl} 06:12 FROM {no.ip}
PATIENT ........ {pt.LAST_FIRST}      SEX F    AGE {age.old}    RACE W
SOC SEC ........ {no.soc}             MARITAL W
ADDRESS ........ {place.street}
                 {place.town_caps} {place.st} {place.zip9}
HOME PH ........ {no.tel}             CELL {no.tel}
ADMIT .......... {date.sl2}           ACCT {no.acct}
ATTENDING ...... {att.LAST_FIRST_MI}  UPIN {no.lic}
PRIM INS ....... MEDICARE A/B         POL# {no.hic}
GUARANTOR ...... {gua.LAST_FIRST}     EMPL {place.facility_caps}
NEAREST REL .... {rel.LAST_FIRST}     RELATION SON   DL# {no.driver}
VEHICLE ........ BLUE TOYOTA CAMRY    PLATE {no.plate}
DX ............. {not.eponym}; {not.misc}
""",
    # surgery
    """OPERATIVE REPORT
PATIENT: {pt.FULL}      MED REC #: {no.chart}      ENCOUNTER: {no.acct}
DATE OF OPERATION: {date.sl}
SURGEON: {sx.full}, M.D.       FIRST ASSISTANT: {as.full}, PA-C       ANESTHESIA: {an.last}, general
IMPLANTS: Stryker Triathlon femur size 4, ref 5510-F-401, lot {no.lot}, serial {no.serial}.
INDICATIONS: {pt.first} is a {age.young}-year-old librarian from {place.town} with {not.eponym} refractory to
{not.drug}.
DESCRIPTION: After time-out led by {circ.first}, a midline incision was made. A Hohmann and two Weitlaner retractors
were
placed. The Bovie was used. Cement: Palacos. Blood loss 150 mL. {not.vital}. Counts correct x2 per {circ.first}
{circ.last}.
Specimen to pathology as {no.access}. Dr. {sx.last} was present throughout. {pt.first}'s husband {hus.full} was
updated.
D: {date.sl} 14:20  T: {date.sl} 19:05  {trans.f_last}/{no.case}
""",
    # progress notes of a ward
    """{date.bare} 0645 Night float. Called by RN {rn.Last} for {not.vital}. {pt.last} {age.young}M POD2, {not.eponym}.
{not.lab}. Gave {not.drug}. D/w {att.last}. Will sign out to {day.first}.   -- {res.full} PGY2, p{no.beep}
{date.bare} 1010 Attending: seen and examined with Dr {res.last}; agree. {not.score}. {not.misc}. Plan MRI {date.bare}.
Called son ({son.first}, {no.tel}) who is flying in from {place.town}; he is HCP. Pt's mother, aged {age.old}, lives at
{place.facility}. PT: {ptx.first} walked him 40 ft. {att.last}
{date.bare} 1500 SW: {sw.full}, ext {no.beep}. Bed offered at {place.facility} for {date.day}. {pt.first} wants to
think.
""",
    # memory clinic
    """MEMORY CLINIC CONSULTATION, {date.mil}
I met {pt.full}, who will be {age.old} in {date.my}, with her niece {niece.full} and a carer, {carer.first}. She was
born on {date.words} in {place.town}, taught at {place.facility} and stopped driving after scraping a neighbour's car
({no.plate}) on {place.street}. {not.score}; clock 2/3; {not.eponym} unlikely; {not.lab}. {niece.first} has power of
attorney
and may be reached on {no.tel_abroad} or {no.mail}. Mrs {pt.last} takes {not.drug}. Her twin, {twin.first}, died aged
{age.old}.
MRI {no.access} of {date.dotted}: atrophy. Scan disc posted to {place.box}, {place.town}. NHI {no.chart}.
Consultant: Dr {con.full} (registration no. {no.lic})   typed {date.dotted} by {typ.first}
""",
    # billing and pharmacy
    """RX TRANSFER   {place.facility}   {no.tel}   fax {no.fax}
Pt {pt.full}, {date.sl}, {place.street}, {place.town}
Rx# {no.access}  {not.drug} #60 RF2   prescriber {md.full} NP, DEA# {no.dea}, NPI {no.npi}, state lic {no.lic}
BIN 610014 not on file; ID {no.hic}; group {no.acct}; billed acct. no. {no.acct}; SS# {no.bare_soc}
Allergies: sulfa. {not.misc}. Transferring RPh: {rph.full}; receiving {rph2.f_last}. Counselled {pt.first} on
{not.drug}.
Vaccine: Fluzone HD lot {no.lot}, given {date.sl2} L deltoid by {inj.first} {inj.last}, PharmD. {pt.last} is {age.old}.
""",
)
