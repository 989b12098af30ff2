"""Template set "e" of the invented notes: cast, towns, decoys and forms of dates and codes of its own.

Written before set "d" had been measured, so that there is a set that no rule has seen when the misses of "d" are
looked at.
"""

from __future__ import annotations

# fmt: off
GIVEN = """
Delphine Rashida Imani Jamal Latoya Darnell Kofi Ngozi Emeka Yetunde Hakim Bilal Amira Samira Farhad Laleh Kaveh
Gülşen Hakan Levent Chaim Dvora Yitzhak Irina Vadim Ruslan Halyna Piotr Małgorzata Grzegorz Václav Zuzana László
Erzsébet Bogdan Florin Marko Jelena Nikolaos Vasiliki Gianluca Rosalba Ignacio Mireya Osvaldo Yesenia Anselmo Graciela
Rogério Fernanda Benoît Mireille Günther Ursula Pieter Anneke Sinéad Cormac Bronwen Fiona Björn Sigrid Matti Kirsti
Vikram Sunita Meenakshi Jaswinder Arjun Chandrika Roshan Lihua Zhiqiang Yuki Satoshi Hana Jiwoo Hyunjin Linh Duc Hien
Apinya Prasert Rommel Luzviminda Keala Kalani Losa Tui Ralph Joyce Brenda Todd Monica Kyle Tammy Glenda Rhonda Vickie
Roxanne Gertrude Agnes Wilbur Homer Chester Alma Velma Bernice Lorna Trevor Dakota Skylar Aiden Chloe Savannah Summer
Basil Grant Pierce Hunter Chance Miles Sonny Dot Gail Ann-Marie Billie Rae Jo Ed Al Bo
""".split()

FAMILY = """
Okafor Obi Eze Kamau Odhiambo Khumalo Nkosi Amoako Sarpong Sow Koné Tesfaye Gebremariam Aziz Barakat Sabbagh El-Amin
Moradi Karimi Kaya Şahin Rosenthal Mizrahi Feldman Sokolov Morozova Bondarenko Kamiński Lewandowska Svoboda Kučera Tóth
Nagy Stoica Marinescu Nikolić Babić Dimitriou Pappas Ferraro Bianchi Colombo Escobedo Villalobos Maldonado Cervantes
Ibarra Zamora Ferreira Rocha Nogueira Moreau Girard Hébert Fournier Hofmann Krüger Zimmermann Bakker Visser O'Malley
O'Rourke McKenna MacLeod Bevan Gustafson Nyström Heikkinen Iyer Nair Banerjee Mehta Chopra Grewal Bajwa Perera Fernando
Guo Deng Tsai Suzuki Watanabe Ito Hwang Jeong Pak Phan Dang Hoang Wongsakul Salonga Magbanua Kamaka Tupou Benally Nez
Whitaker Dillard Ogletree Tidwell Culpepper Hargrove Stubblefield Vandenberg Krause Lindholm Sorrell Bledsoe Pruitt
Dockery Mabry Yoder Stoltzfus Amundson Gallagher Brennan Doyle Whalen Kessler Strickland Singleton Ballard Blevins
Bishop Shepherd Marsh Pond Meadows Brewer Glover Mayer Best Good Self Case Hand Branch Parrish Story Rush Drew Ley
""".split() + ["de la Fuente", "Van Houten", "St. Clair", "von Essen", "Del Rio", "Cruz-Medina", "D'Angelo"]

TOWNS = [
    "Ypsilanti", "Kalispell", "Paducah", "Bozeman", "Elyria", "Altoona", "Nacogdoches", "Kokomo", "Fond du Lac",
    "Las Cruces", "San Luis Obispo", "Port Huron", "Lake Charles", "New Bedford", "West Bend", "Framingham", "Waukesha",
    "Scranton", "Duluth", "Fargo", "Bangor", "Concord", "Salem", "Utica", "Flint", "Lansing", "Mobile", "Liberty",
    "Santa Rosa", "Winston-Salem", "Guayaquil", "Cebu", "Guadalajara", "Kraków", "Hyderabad", "Port-au-Prince",
]

STREETS = [
    "Tamarack Trail", "Old Mill Rd", "W. Juniper Street", "Martin Luther King Jr. Blvd", "Elm St.", "Quail Hollow Ct",
    "Cemetery Road", "22nd Ave NE", "Rural Route 4", "Via del Sol", "Fort Hill Terrace", "Park Place", "Spruce",
    "County Road 118", "Commonwealth Avenue", "Blue Heron Way",
]

FACILITIES = [
    "Beth Emanuel Medical Center", "Kalispell Valley Medical Center", "Bayview Convalescent Hospital",
    "Sunny Acres Nursing Home", "St. Hedwig's", "Our Lady of Sorrows Hospital", "KVMC", "Elyria Community Hospital",
    "Scranton VA", "Holy Redeemer", "Tri-County Mental Health", "Duluth Children's Hospital", "Maplewood Manor",
    "Fairhaven Rehabilitation Center", "Harper & Lowe Dialysis", "Lakeshore Women's Clinic", "Camp Winnebago",
    "Jefferson Middle School",
]

DATES = {
    "slash_ymd": "%Y/%m/%d", "dots_ymd": "%Y.%m.%d", "compact": "%Y%m%d", "dash_md": "%m-%d", "weekday": "%A, %B %d",
    "weekday_us": "%a %m/%d/%y", "clock": "%m/%d/%Y", "quote_year": "%b '%y", "eu": "%d/%m/%Y", "caps_bd": "%b %d",
}
"""Further forms of dates, as strftime writes them."""

CODES = {
    "mrn_new": ("medical_record", ["####-####", "@@@######", "##-####-#", "#########", "M#####"]),
    "encounter": ("account", ["########", "E#######", "H##########"]),
    "phone_new": ("phone", ["?##-####", "(2##)2##-####", "2##/3##-####", "2## 4##.####", "1 (2##) 5##-####"]),
    "fax_new": ("fax", ["2##-3##-####", "(2##) 6##-####"]),
    "plan_new": ("health_plan", ["@########", "###-##-####@", "@@@@######", "#### #### ####", "##########-##"]),
    "serial_new": ("device", ["@@@-###-@@@@", "########", "#@@#####", "##@@@####@"]),
    "licence_new": ("licence", ["@@#######", "@-###-###-###", "##-#####", "RN######"]),
    "badge_new": ("other", ["@-###", "####", "@@##"]),
    "rx": ("other", ["#######", "##-#######"]),
    "sample": ("other", ["S##-####", "##:@@####", "@#########"]),
    "plate_new": ("vehicle", ["@@@####", "##@-@##", "@@ #####"]),
}
"""Further codes: # is a digit, @ a letter."""

DECOYS = {
    "eponym": [
        "Ludwig's angina", "a Zimmer frame", "Broca's aphasia", "the Bristol stool chart type 4", "Kawasaki disease",
        "Ehlers-Danlos syndrome", "Dr. Scholl's inserts", "Lisfranc injury", "Child-Pugh B", "a Hoffman sign",
        "Peyronie's disease", "Hirschsprung's disease", "Prader-Willi", "a Bankart lesion", "Hill-Sachs deformity",
        "Mohs surgery", "a Port-a-Cath", "Lynch syndrome", "St. John's wort", "Lou Gehrig's disease", "Bragg peak",
        "a Thomas splint", "Rinne and Weber tests", "Sister Mary Joseph nodule", "Chiari I malformation",
        "Cheyne-Stokes", "an Unna boot", "Von Willebrand disease", "Jehovah's Witness", "Alport syndrome", "a Rush pin",
        "Baker Act", "Good's syndrome", "the Best Practice Advisory", "Bishop 6",
    ],
    "lab": [
        "Hct 28.4 -> 31.0", "CrCl 47 mL/min", "ferritin 12", "vanc trough 14.6", "UA 1.025, pH 6.0, 2+ protein",
        "A1c 6.9 (was 8.1)", "K+ 5.6 hemolyzed", "ALP 302, GGT 411", "eGFR >60", "CK 4512", "plt 98,000", "FEV1 2.31 L",
        "24h urine protein 3400 mg", "WBC 14.2 (N 82, L 11, M 5, E 2)", "CD4 count 212, viral load 48,300",
        "ABG 7.28/64/58/29", "glucose 345 at 0730", "CEA 2.1-3.4", "hCG 21,456", "titer 1:320", "SpGr 1.010",
    ],
    "vital": [
        "BP 98/52, P 118, R 24, T 38.9", "sat 88 on 4L", "T 36.6-37.1", "I/O 2340/1975", "CVP 12", "PEEP 8, FiO2 0.40",
        "height 5'4\", weight 162 lb", "BMI 41", "HR 96-104", "EDW 71.5", "160/94 in the right arm", "pulse ox 94-95%",
    ],
    "score": [
        "PHQ-9 of 17", "CHA2DS2-VASc 4", "ASA class 3", "NYHA III", "T2N1M0", "Braden 14", "Mallampati 2", "MELD-Na 22",
        "ECOG 1", "APACHE II 19", "AUDIT-C 8", "Ranson's 3", "CIWA 12", "Wong-Baker 4/10", "GAF 45", "SOFA 6",
        "Glasgow-Blatchford 7", "Morse 55", "G4P2012", "Tanner 3", "KPS 70", "stage IIIB", "RASS -1", "4/4 reflexes",
    ],
    "dose": [
        "Eliquis 5 mg BID", "K-Dur 20 mEq", "Norco 10/325 1-2 tabs", "Solu-Medrol 125 mg IV", "Depakote ER 1500 mg qHS",
        "Sinemet 25/100 TID", "morphine 2-4 mg IV q3h prn", "Ancef 2 g", "Synthroid 112 mcg", "Lovenox 1 mg/kg",
        "tacrolimus 1.5/1.0", "Symbicort 160/4.5 2 puffs", "prednisone 40 x5d then 20 x5d", "Seroquel 200 mg",
        "Mirena IUD", "Zofran 4 mg ODT", "1,000 mL LR", "Ensure Plus", "Rituxan 375 mg/m2", "Metamucil", "Suboxone 8/2",
    ],
    "anatomy": [
        "L2/3 level", "segment VII", "OM1 80%", "the P2 segment", "T5-8 dermatomes", "right 5th toe", "C6/7 foramen",
        "lymph nodes 2/14", "the 12 o'clock position", "Zone II", "level 4", "CN VII", "S2-S4", "P1 and P2",
    ],
    "time": [
        "for 2-3 days", "x4 weeks", "at 0215", "8-10 times a day", "in 1986", "since 2013", "by 1900", "40 pack-years",
        "week 34 of pregnancy", "36 2/7 weeks", "two Sundays ago", "POD 3", "day 12/14", "for 90 days", "10 years back",
    ],
    "word": [
        "He may march for hours", "Fall precautions", "the April shower was cold", "Best corrected acuity 20/30",
        "Hand hygiene reinforced", "Good effort", "Case discussed at rounds", "Self care: independent", "Rush order",
        "Branch retinal vein occlusion", "Grant application pending", "Chance of recurrence 20%", "Miles walked: 2",
        "Summer cold", "Story recall 3/5", "Mobile unit in use", "Liberty of movement",
    ],
}
"""Texts of this set that look like identifiers and are none."""

NOTES = (
    # emergency department physician
    """EMERGENCY DEPARTMENT NOTE
{place.facility}                                      Arrival: {date.clock} 0215
{pt.LAST}, {pt.FIRST}   {age.young}M   MRN# {no.mrn_new}   CSN {no.encounter}

CC: chest pain. HPI: {pt.full} is a {age.young} yo man with {not.eponym} and CAD s/p stent {date.quote_year} who was
brought in by his roommate, {mate.first} {mate.last}, after {not.time} of pain. He first called his PCP ({pcp.last}) on
{date.weekday}. {not.score}. Takes {not.dose} and {not.dose}. Lives in {place.town} with his brother {bro.first}.
PE: {not.vital}. {not.word}.
MDM: {not.lab}. Spoke with {cards.last} of cardiology at 0410; {cards.last} will admit. Old records from
{place.facility} ({date.us_short}) reviewed.
Callback: {no.phone_new}. Employer: none. ED scribe {scribe.full} for {att.full}, DO.
""",
    # discharge summary as an EHR prints it
    """Discharge Summary

Patient Name: {pt.last_first_mi}
Account Number: {no.encounter}
Date of Birth: {date.born_long}         Sex: F
Date of Admission: {date.slash_ymd}     Date of Discharge: {date.slash_ymd}
Attending Physician: {att.full_mi}, MD

HOSPITAL COURSE: Ms. {pt.last} was transferred from {place.facility} in {place.town}, {place.st} with {not.eponym}.
She was seen by Dr. {a.last}, Dr. {b.last} and {c.full}, PA-C. On {date.month_day_th} she had {not.score} and
{not.lab}. A sample (specimen {no.sample}) was sent. Her sons {s1.first} and {s2.first} were at the bedside; her late
husband {hus.first} had died at age {age.old}. {not.anatomy} was unchanged.
DISCHARGE MEDICATIONS: {not.dose}; {not.dose}; {not.dose}.
FOLLOW UP: {fu.full}, MD, {place.street}, {place.town}, {place.state} {place.zip}, tel {no.phone}, {date.weekday_us}.
DISPOSITION: {place.facility}. cc: {cc.full}; {cc2.f_last}
Dictated by {dic.full} D: {date.us} T: {date.us} Job {no.job}
""",
    # nursing note, hurried
    """0730 rec'd report from {rn1.first}, pt sleeping. 0800 a&o x3, {not.vital}. {not.score}. 0915 md {md.Last} in to
see pt, {not.dose} ordered. 1030 wife {w.first} here w grandkids {g1.first} & {g2.first}. pt upset about move to
{place.facility}. 1145 {not.lab}, {md.Last} aware. 1300 SW {sw.first} met w/ family. bed alarm SN {no.serial_new}.
1500 iv infiltrated, restarted by {rn2.full} rn. next labs {date.dash_md}. call light in reach. {not.word}.
pt phone {no.phone7}. ------ {rn3.f_last} RN badge {no.badge_new}
""",
    # social work
    """SOCIAL WORK ASSESSMENT   {date.long}
Referral source: {ref.full}, RN, 6 West. Client: {pt.full}, a {age.old} year old widow from {place.town}.
Family: {pt.first} has two daughters, {d1.full} of {place.town}, {place.state} and {d2.first}, who is estranged. Her
nephew {nep.full} holds the power of attorney ({no.phone}, {no.email}). Born in {place.town}, she came to {place.state}
in 1957 and taught at {place.facility}. {not.word}.
Finances: Medicare {no.plan_new}; SSN {no.ssn}; bank acct {no.account}. Rents at {place.apt}, {place.town}
{place.zip9}. Landlord Mr. {ll.last}. Pastor {pas.last} visits.
Plan: APS report filed {date.us_mixed} with {aps.full} (case no. {no.accession}). Contact {pt.first} by
{date.abbr_day}. {sw.full}, LICSW, lic. {no.licence_new}
""",
    # radiology
    """CT CHEST WITH CONTRAST  {date.dots_ymd}
NAME: {pt.LAST_FIRST}  ID: {no.mrn_new}  ACC: {no.accession}  DOB: {date.eu}
INDICATION: {age.young} year old woman with {not.eponym}, stage IIIB.
COMPARISON: CT of {date.us_short} from {place.facility}; PET of {date.month_year}.
FINDINGS: {not.anatomy}. Nodule of 8 x 6 mm (series 4, image 112), formerly 7 mm. Calcium volume 1453. {not.anatomy}.
IMPRESSION: Stable. Findings were called to {np.full} NP by {rad.last} at 16:20 on {date.md}.
Scanner serial no. {no.serial}; console {no.ip}. Electronically signed: {rad.full} {date.us} 17:02
""",
    # operative note
    """OPERATIVE REPORT
PATIENT: {pt.FULL}          HOSPITAL NO.: {no.mrn}
DATE OF SURGERY: {date.LONG}
SURGEON: {sg.FULL}, M.D.     ASSISTANTS: {as1.FULL}, M.D.; {as2.FULL}, PA     ANESTHESIA: {an.LAST}
PREOPERATIVE DIAGNOSIS: {not.eponym}.
PROCEDURE: With the patient supine, a Mayfield holder and a Leksell rongeur were used at {not.anatomy}. An implant
(Zimmer, lot {no.serial_new}, serial {no.serial_new}) was placed by Dr. {sg.last}; Dr. {as1.last} closed. {not.dose}
was given. Blood loss 350 mL. {not.word}.
The findings were explained to the patient's partner, {par.first}, and {par.first} thanked us. Mr. {rep.full} of the
manufacturer was present. Device UDI {no.udi}.
""",
    # clinic letter
    """{place.facility}
{place.street}
{place.town}, {place.st} {place.zip}
Phone {no.phone} | Fax {no.fax_new} | {no.url}

{date.dmy}

RE: {pt.first} {pt.last}, DOB {date.born}, your ref {no.study}

Dear {ref.first},

I had the pleasure of seeing {pt.first} with her husband {hus.full} today. As you know, {pt.first} is a delightful
{age.young}-year-old from {place.town} with {not.eponym} who was on {not.dose} until {date.abbr_year}. {not.lab};
{not.score}. I have asked my colleague {col.full} to see her. She would rather have the scan in {place.town}, near
her daughter {dau.first}'s home.

Warm regards,
{me.first}
{me.full_mi}, MD, FACP     NPI {no.npi}
""",
    # telephone encounter
    """TELEPHONE ENCOUNTER {date.us_mixed} 3:15 PM, taken by {ma.first}
Caller: {cal.full} (mother). Patient: {pt.first} {pt.last}. Call back # {no.phone_new}, cell {no.phone}.
Mom says {pt.first} has had fever {not.time}. {sib.first} (sibling) had it last week, and so did two kids in Mrs.
{tea.last}'s class at {place.facility}. Gave {not.dose}. Advised per Dr {doc.last}. Rx {no.rx} to pharmacy on
{place.street}, fax {no.fax}. Mom verbalized understanding. Insurance changed: ID {no.plan_new}, group
{no.plan}. Routed to {np.last_comma} NP. Appt {date.md} w/ {doc.last}.
""",
    # pathology
    """SURGICAL PATHOLOGY  Case: {no.sample}   Collected {date.us}  Received {date.us}  Reported {date.us}
Patient: {pt.full_mi}  Med Rec: {no.mrn_new}  Physician(s): {p1.full}, MD; {p2.last}
CLINICAL: {age.young}F with {not.eponym}.
GROSS: Received fresh labeled "{pt.last}, {pt.first}, left breast" is a 4.2 x 3.1 x 2.0 cm specimen. Blocks A1-A12.
MICRO: Ki-67 30%, ER 95%, HER2 1+, {not.score}. Nottingham grade 2 (3+2+2=7). {not.anatomy}.
COMMENT: Seen with Dr. {p3.full}, who agrees. Slides {no.sample} sent to {place.facility} on {date.dash}.
{path.full}, MD (electronic signature)
""",
    # home health, with a long list of contacts
    """HOME HEALTH START OF CARE {date.us_short}
Pt: {pt.last_comma}   DOB: {date.us_mixed}   Medicaid ID: {no.plan_new}   Med rec number: {no.mrn}
Address: {place.street}, {place.town} {place.st} {place.zip}. Gate code on file.
Emergency contact #1 - {e1.full} (dtr) {no.phone}; #2 - {e2.full} (neighbor) {no.phone_new}
MD: {md.full} {no.phone} fax {no.fax_new}. PT: {ptt.first}. OT: {ott.first}. Aide: {aide.first}.
Pt is {age.old} y/o, {not.score}. O2 concentrator ser# {no.serial_new}. Wound: {not.word}. {not.dose}. {not.vital}.
Pt drives a Buick, plate {no.plate_new}; advised not to. Next visit {date.weekday}. RN visit freq 2w4, 1w5.
Van VIN {no.vin}. Nurse's signature: {rn.first} {rn.last}, RN, license {no.licence_new}.
""",
    # psychiatry
    """PSYCHIATRIC CONSULTATION. Requested by {req.last} (hospitalist) on {date.the_th}.
{pt.first} {pt.last} is a {age.young}-year-old {not.score} man, domiciled with girlfriend {gf.first} in {place.town},
working at {place.facility}. He says that {voc.full} follows him, and that {cel.first} told him to jump. Police
(Ofc. {off.last}, badge #{no.badge_new}) found him near {place.street} on {date.weekday}. Past admissions:
{place.facility} {date.my}, {date.my}. Therapist is {th.full}, {no.email}. Ex-wife {ex.first} has custody of
{k1.first}, 9, and {k2.first}, 6. Grandfather was {age.old} when he died. Meds: {not.dose}, {not.dose}. UTox from
{date.dash_md} positive. {not.lab}. MSE: speech pressured. I/J poor. {not.word}.
Rec: 1:1, {not.dose}. Will follow. {psy.full}, PGY-3, d/w Dr. {sup.last}.
""",
    # neonatal
    """NICU ADMISSION: Baby Girl {mom.last} (will be named {kid.first}), born {date.us} 04:12 at {place.facility}
Mother: {mom.full}, {age.young} y, G4P2012, MRN {no.mrn_new}. Father: {dad.first} {dad.last}, cell {no.phone}.
Obstetrician {ob.full}. Gestation 36 2/7 weeks. Apgars 7 and 8. Birthweight 2410 g. {not.lab}.
Pediatrician will be {ped.last} in {place.town}. Transport team: {t1.full} RN, {t2.full} RRT. {not.dose}.
ID band {no.badge_new} checked with {rn.full} RN. Hep B given {date.caps_bd}. Social: parents from {place.town};
grandmother {gm.first} will help. Newborn screen {no.sample} sent {date.md}. Attending: {att.full}
""",
    # research and portal
    """From: {pt.first} {pt.last} <{no.email}>
To: {doc.full}, MD
Sent: {date.abbr}
Subject: my pump

Hi Dr. {doc.last}, this is {pt.first}. The pump (serial # {no.serial_new}) alarms again. I uploaded the log to
{no.url} from {no.ipv6}. My sister {sis.first} thinks it is the battery. I am in {place.town} until {date.month_day},
then back in {place.town}. You can call me at {no.phone_new} or my husband {hus.first} at {no.phone_intl}. My new
insurance is {no.plan_new} (member ID). Also, {study.last}'s trial: my subject number is {no.study}. Thanks! {pt.first}

Reply {date.us_short}: {not.dose}, {not.lab}. - {ma.full}, CMA, for Dr. {doc.last}
""",
    # oncology, follow-up
    """ONCOLOGY FOLLOW-UP   {pt.full}   #{no.mrn}   {date.DMY_ABBR}
{pt.last} returns with her friend {fr.full}. Dx: {not.eponym}-associated cancer, T2N1M0, {date.month_year}. C3D1 of
FOLFOX given {date.abbr_day}; C4 due {date.md0}. Dr. {rt.full} in radiation oncology at {place.facility} treated
{not.anatomy}, 50 Gy/25 fx, finished {date.us_short}. {not.score}. {not.lab}. {not.word}.
FHx: mother breast ca at 51, d. {age.old}; aunt {au.first} ovarian. BRCA1/2 neg (lab no. {no.sample}).
Soc: retired from the {place.town} schools; lives on {place.street}; son {son.first} in {place.town}, {place.state}.
Plan: {not.dose}. CT before {date.long_th}. D/w {nurse.full}, RN and {ph.full}, PharmD. Time 40 min.
{onc.f_last}, MD / {tr.first} {tr.last} transcribing
""",
    # death note, older age
    """DEATH NOTE. Called by {rn.full} to see {pt.full}, {age.old}, found without pulse at 0352 on {date.us}. No heart
sounds. Pupils fixed. Pronounced 0402. {son.full} (son) and {dil.first} (daughter-in-law) notified at {no.phone};
{att.last} notified. ME: case #{no.accession}, {me.full} declined. Organ bank ref {no.study}. Funeral home: {fh.last}
& Sons, {place.town}. Certificate no. {no.licence}. Admitted {date.month_day} with {not.eponym}, {not.score}.
Chaplain {ch.full} at bedside. {int.full}, MD (intern), pager {no.pager}
""",
    # occupational, licence, vehicle
    """OCCUPATIONAL HEALTH / DOT EXAM   {date.us}
Driver: {pt.last_first}   DL# {no.licence_new} ({place.state})   CDL truck plate {no.plate}   VIN {no.vin}
Employer: {emp.last} Trucking, {place.town}. SS# {no.ssn}. Employee no. {no.badge}. Home {no.phone}.
Vision 20/25, 20/30. {not.vital}. {not.score}. UA neg. Hx {not.eponym}. On {not.dose}. CPAP (S/N {no.serial})
download {date.dash} from {no.ip}. Examiner: {ex.full}, DC, national registry number {no.licence}. DEA {no.dea}.
Certificate good until {date.abbr}. Supervisor {sv.first} {sv.last} told by email ({no.email}). Copy to {place.box},
{place.town}. MVA on {date.my} (claim {no.rx}): {not.anatomy}. {not.time}.
""",
    # trauma and transfer
    """TRANSFER CENTER LOG {date.weekday_us}
Sending: {place.facility}, {place.county} - {sd.full} MD {no.phone_new}
Accepting: {ac.full} MD. Coordinator: {co.first}.
Pt {pt.last} {pt.first}, {age.young} M, MVC on I-94 outside {place.town}; passenger {pas.full} died. {not.score}.
{not.vital}. {not.lab}. Imaging pushed {date.us_short} to {no.url}. Flight crew {f1.last}/{f2.last}.
Plate {no.plate_new}. Next of kin: father, {dad.full}, {place.town}, {no.phone}. Payer: {no.plan} Blue
Cross. Encounter {no.encounter}. Fax facesheet {no.fax}. Bed 12. {not.dose} en route.
""",
    # billing and prior authorization
    """PRIOR AUTHORIZATION REQUEST
Member: {pt.FIRST} {pt.LAST}     Member ID: {no.plan_new}     DOB: {date.slash_ymd}
Provider: {doc.full}   NPI: {no.npi}   State license: {no.licence_new}   Tax ID on file
Contact: {ct.first} at {no.phone_new} ext. {no.ext}   Fax: {no.fax_new}   Email: {no.email}
Drug: {not.dose}. Dx: ICD-10 M05.79, J45.50. CPT 96413 x 2, HCPCS J9312. {not.lab}. {not.score}.
Failed: {not.dose} ({date.quote_year}), {not.dose} ({date.month_year}). Patient account {no.account}. Invoice
{no.encounter}. Reference # {no.rx}. Reviewer: {rv.full}, RPh. Decision by {date.us}. Denied? Appeal to {place.box},
{place.town}, {place.st} {place.zip9}. Infusion at {place.facility}. SSN last four {no.ssn4}. Portal {no.url}.
""",
)
