"""Template set "f" of the invented notes, with everything of its own, as set "g".

Written before sets "d" and "e" had been measured, so that the rules can be measured once more when they have been
changed after a look at the misses of those two.
"""

from __future__ import annotations

# fmt: off
GIVEN = """
Adunni Babajide Chinwe Dumisani Efua Femi Gakuru Haile Jabari Kelechi Makena Nneka Thandiwe Uzoma Abdullah Faisal Hanan
Ibtisam Jamila Mustafa Rania Walid Behnaz Ebrahim Golnaz Mitra Ahmet Fatma Serkan Aviva Eliezer Miriam Shimon Arkady
Lyudmila Nadezhda Valery Jadwiga Kazimierz Teodor Milena Ondřej Béla Piroska Anca Radu Branko Ljiljana Kostas
Evangelia
Enzo Loredana Pasquale Alejandra Baltazar Concepción Efraín Fidel Griselda Heriberto Socorro Caio Luiza Armand
Clémence
Didier Fabrice Dieter Irmgard Rüdiger Annika Bram Cornelia Aisling Declan Oona Angus Catriona Eluned Dagny Gunnar Inge
Arvo Tarja Aditya Bhavna Chetan Devika Gaurav Kiran Nandini Balbir Manpreet Anula Bao Chunhua Feng Jing Akira Chiyo
Daichi Eunji Hyun Sangho Anh Hung Trang Kanchana Niran Corazon Jejomar Noelani Pono Sefina Hone Alvin Beulah Cecil
Delbert Edna Floyd Geneva Harvey Inez Jerome Lamont Marlon Nadine Otis Phoebe Quentin Rosalie Shelby Terrell Ursula
Vance Wendell Yvette Zelda April June May Sunny River Sage Rocky Buddy Gene Dale Dean Pat Rob Jan Lee Kit Ray Van
""".split()

FAMILY = """
Achebe Balogun Chukwu Danjuma Ekwueme Gitonga Kiplagat Mabuza Nyambura Osei Quaye Sesay Tembo Zulu Wolde Abadi Darwish
Fakhoury Ghannam Hariri Mansour Saleh Tabrizi Zand Arslan Çelik Doğan Polat Berkowitz Horowitz Katz Lifshitz Baranov
Fedorova Lysenko Orlov Tkachenko Dąbrowski Jankowska Mazur Pawlak Beneš Horák Kovács Németh Varga Constantinescu
Dumitru
Lazarević Marković Stanković Alexopoulos Karras Economou Caruso Gallo Moretti Aguilar Barrera Cisneros Delgado
Espinoza Fuentes Galván Lozano Orellana Palacios Rentería Tovar Zúñiga Barbosa Cardoso Machado Bélanger Chevalier
Dufour
Lachance Bauer Fuchs Koenig Schwartz Vogt Jansen Mulder Corrigan Flanagan Hennessy Mulligan O'Hara Campbell
Drummond Farquhar Kincaid Rhys Trevelyan Andersson Bergström Eklund Haugen Iversen Laaksonen Agarwal Bose Dutta Joshi
Menon Reddy Sidhu Toor Bandara Cai Fong Hsu Kong Luo Peng Sun Endo Hayashi Mori Ogawa Ahn Baek Chung Yun Chau Luong Ngo
Rattanakul Aquino Dizon Pangilinan Akana Kekoa Fonoti Parata Cloud Manygoats Secatero Aldrich Bixby Cobb Dunlap Eubanks
Fitch Gaines Haskins Ingram Jernigan Keener Lockhart McNeil Nettles Overton Pickett Quarles Ragsdale Stovall Tatum
Upshaw
Vickers Womack York Yancey Zimmer Bell Berry Bloom Bolt Carver Cotton Cross Dash Flowers Foot Gamble Head Hooker Joiner
King Lake Love March Mercer Nail Pain Peel Pool Post Power Ring Rivers Root Sands Seal Short Stack Street Tooth Wall
Weeks
""".split() + ["De Luca", "De Vries", "Van Dyke", "Mac Neill", "Del Toro"]

TOWNS = [
    "Ashtabula", "Beaumont", "Chillicothe", "Dubuque", "Escanaba", "Florence", "Grants Pass", "Hackensack", "Iowa City",
    "Joplin", "Kankakee", "Laramie", "Moline", "Nampa", "Ogden", "Prescott", "Redding", "Saginaw", "Temple", "Uvalde",
    "Valdosta", "Watertown", "Yakima", "Zanesville", "Mount Vernon", "Palm Springs", "Little Rock", "South Bend",
    "St. Joseph", "Eden Prairie", "Ciudad Juárez", "Lahore", "Tegucigalpa", "Leeds", "Odesa", "Da Nang",
]

STREETS = [
    "Birchwood Ln", "State St", "E. Mulberry Ave.", "Cesar Chavez Blvd", "Oak Ridge Drive", "Sunset Strip",
    "Third Street",
    "NW 45th Pl", "Farm to Market Road 1960", "US Highway 20", "Whispering Pines Way", "Church Hill Rd", "Bay Plaza",
    "Pebble Creek Circle", "La Cienega Blvd", "Main",
]

FACILITIES = [
    "Ashtabula County Medical Center", "Temple Baptist Hospital", "Sacred Heart", "St. Anselm Hospital",
    "Yakima Memorial",
    "Riverbend Care Center", "The Pines at Prescott", "Golden Years Assisted Living", "Dubuque Surgery Center",
    "Providence House", "Hillcrest High School", "First Presbyterian Church", "Walden Behavioral Care", "UMC Laramie",
    "Saginaw Valley Rehabilitation Hospital", "Trinity Lutheran Hospital", "Women and Infants Hospital",
]

DATES = {
    "dow_long": "%A %B %d, %Y", "us2": "%m/%d/%y", "dash_us": "%m-%d-%Y", "month_of": "%B of %Y",
    "dot_us": "%m.%d.%Y", "caps_dmy": "%d-%b-%y", "weekday_plain": "%a, %b %d",
}

CODES = {
    "hospital_no": ("medical_record", ["##-##-##-#", "######", "@##-##-###", "0########"]),
    "visit": ("account", ["V##########", "##########", "#####-####"]),
    "tel": ("phone", ["2##-5##-####", "(3##) 4##-####", "4##.6##.####", "+1-5##-2##-####", "7######"]),
    "faxline": ("fax", ["2##-7##-####", "1.8##.5##.####"]),
    "insurance": ("health_plan", ["W#########", "@@@###@#####", "#########-00", "###@@####"]),
    "unit_serial": ("device", ["#####-@###", "@@########", "@#@#-####", "##########"]),
    "permit": ("licence", ["@#######", "MD-#####", "@@ #######", "##.######"]),
    "tag": ("vehicle", ["@@@ ####", "#@@####", "###-@@@"]),
    "order": ("other", ["ORD-######", "#########", "@@-#####"]),
}

DECOYS = {
    "eponym": [
        "Bartter syndrome", "Caroli disease", "Duchenne muscular dystrophy", "Erb's palsy", "Felty syndrome",
        "a Finochietto",
        "Gilbert's syndrome", "Hirsutism (Ferriman-Gallwey 12)", "a Kocher incision", "Legg-Calvé-Perthes",
        "May-Thurner",
        "Ménière's disease", "Nissen fundoplication", "Osler nodes", "Paget's disease", "a Penrose drain",
        "Pott disease",
        "Romberg negative", "Still's murmur", "Takotsubo", "Tietze syndrome", "Valsalva",
        "Waldenström macroglobulinemia",
        "the Weber B fracture", "Wolff-Parkinson-White", "a Dobhoff tube", "Salter-Harris II", "a King airway",
    ],
    "lab": [
        "Cr 0.9 (baseline 0.8)", "Hgb 7.1 s/p 2 U", "phos 2.2", "CRP 143", "PT 14.1/INR 1.2", "fibrinogen 412",
        "TG 1180",
        "troponins 0.02, 0.11, 0.34", "UCx >100,000 CFU", "lipase 2310", "free T4 0.7", "Dig level 1.4", "INR 1.9-2.4",
        "Na 121-126-131", "MCV 68", "BNP 2,310", "sed rate 77", "CSF 340 WBC, glucose 28", "PaO2/FiO2 188",
    ],
    "vital": [
        "BP 142/88 P 64", "afebrile, 110/70", "SaO2 90-92", "wt 201 lbs (down 4)", "T102.2", "UOP 40 cc/h", "RR 40s",
        "HR 130s-140s", "98.4 72 16 124/78", "BMI 33.1", "FSBG 98/143/201", "MAPs 60-65", "Pain 3/10",
    ],
    "score": [
        "GCS 9 (E2V2M5)", "MoCA 21/30", "PSA 6.2, Gleason 4+3", "EF 35-40%", "CURB-65 2", "Hunt-Hess 3", "ISS 22",
        "Child B",
        "Rankin 2", "PESI 96", "HAS-BLED 3", "STOP-BANG 5/8", "Schatzker IV", "G1P0", "TIMI 3", "AJCC IIA", "Wells 4.5",
    ],
    "dose": [
        "Keflex 500 QID", "Bumex 1 mg", "Xarelto 20 mg", "NPH 14/8", "Lopressor 12.5", "Flonase 2 sprays", "KCl 40 mEq",
        "Vicodin 5/500", "Abilify 10 mg", "levothyroxine 88 mcg", "Timolol 0.5% OU", "Vitamin D 50,000 units",
        "Humira 40 mg",
        "amox-clav 875-125", "Decadron 4 mg q6", "Miralax 17 g", "Toprol XL 50", "Spiriva 18 mcg", "Premarin 0.625",
    ],
    "anatomy": [
        "T10-L2 fusion", "RCA 70%, LAD 40%", "liver segment 6", "C2 dens", "M1 occlusion", "3rd and 4th digits",
        "V1-V4",
        "the Circle of Willis", "Gerdy's tubercle", "teeth #17 and #32", "zone 3", "A2 pulley", "5 of 16 nodes",
    ],
    "time": [
        "1-2x/wk", "at 2100", "since 1999", "for 20+ years", "17 weeks", "2 Saturdays a month", "3-5 times", "HOD 2",
        "day +28", "q8-12h", "15-20 minutes", "until 2016", "in her 60s", "at age 45", "6/7 days",
    ],
    "word": [
        "Power of attorney discussed", "Head of bed up", "Foot care taught", "Short stature", "Wall motion normal",
        "Pain controlled", "Root canal planned", "Ring sideroblasts", "Post void residual 40",
        "Love of gardening noted",
        "Peel and stick electrodes", "Cotton dressing dry", "Cross-matched", "Temple tenderness", "Pool therapy",
        "Florence Nightingale scale", "May advance diet", "June bug phobia denied", "Nail beds pink",
        "Bell's phenomenon",
    ],
}

# fmt: on
NOTES = (
    # intensive care progress note
    """ICU PROGRESS NOTE  HD 6  {date.dow_long}
{pt.last}, {pt.first} {no.hospital_no} DOB {date.dash_us} ({age.old}F)
24h events: self-extubated at 0340, {res.last} called, reintubated by {an.full}. Family meeting {date.md} with sons
{s1.first} and {s2.first} {pt.last}; {hcp.full} is HCP.
{not.vital}. {not.lab}. {not.score}. {not.word}.
Lines: R IJ ({date.md0}), A-line. Drips: {not.dose}. Micro: BCx {date.md} NGTD.
A/P: {age.old}F from {place.facility} w {not.eponym}, s/p {not.anatomy}. Neuro: {not.dose}. ID: vanc day 4, Dr.
{id.last} following. Dispo: ICU, full code per daughter {dau.first} ({no.tel}).
{res.full} PGY2 #{no.pager}. Attending addendum: seen with {att.last}, agree. {att.full_mi}, MD
""",
    # admission history and physical
    """HISTORY AND PHYSICAL
Patient: {pt.full}      Location: {place.facility}      Admit date: {date.us2}      Acct: {no.visit}
PCP: {pcp.full}, MD, {place.town}   Source: patient, and his wife {wife.first}
HPI: Mr. {pt.last} is a {age.young}-year-old right-handed farmer from outside {place.town} with {not.eponym} who fell
off a ladder on {date.month_day}. His neighbor {nb.full} found him. At {place.facility}, {not.score}, {not.lab}. Dr.
{ed.last} started {not.dose}. {not.time}.
PMH: {not.eponym}; cath {date.month_of} by Dr. {card.first} {card.last}; {not.anatomy}. Meds: {not.dose}, {not.dose}.
SH: Married to {wife.first} for 41 years, three children ({c1.first}, {c2.first} and {c3.first}). Born in {place.town}.
FH: Father lived to {age.old}. Mother {mo.first} d. MI.
PE: {not.vital}. {not.word}. {not.score}.
Imp: as above. Plan: {not.dose}; d/w {fam.first} (daughter) by phone {no.tel}. {me.full} MD {date.us2} 23:10
""",
    # triage call, little punctuation
    """pt name {pt.full} dob {date.us_mixed} mrn {no.mrn} caller {cal.first} (husband) ph {no.tel}
reason: leg swelling {not.time}, takes {not.dose}, saw dr {doc.Last} {date.md} in {place.town} clinic. pt of {np.full}
NP. protocol followed, advised ED. pt lives {place.street} {place.town}, going to {place.facility} w/ friend
{fr.first}. interpreter {int.full} id# {no.badge}. insurance {no.insurance}. order {no.order} faxed {no.faxline}.
callback before {date.dash}. note by {rn.first} {rn.last} rn, cosign {doc.last}. {not.word}. {not.lab}
""",
    # rehabilitation
    """PHYSICAL THERAPY DISCHARGE SUMMARY -- {place.facility}
Resident: {pt.LAST}, {pt.FIRST}   Room 214B   Admit {date.us_short}   D/C {date.us_short}
Med. Rec. No.: {no.hospital_no}   Physician: {md.last}   Payor: Medicare #{no.insurance}
{pt.first} is a {age.old}-year-old who was living with her daughter {dau.full} at {place.apt}, {place.town}, prior to a
fall. {not.score}. Gait 150 ft with rolling walker (serial {no.unit_serial}). {not.vital}. MMT {not.fraction}.
Family training with {sl.first} (son-in-law) on {date.month_day_th}. Home eval by {ot.full}, OTR/L. {not.word}.
Equipment from {ven.last} Medical Supply, {place.town}, tel {no.tel}. {pt.first} and {dau.first} agree with plan.
{pt2.full}, PT, DPT   State Lic # {no.permit}   {date.us}
""",
    # cardiac device clinic
    """DEVICE CLINIC  Date of service: {date.iso}   Patient: {pt.first} {pt.last}   ID {no.hospital_no}
Implanted {date.us_mixed} by {ep.full} at {place.facility}. Model D234, SN {no.unit_serial}; lead s/n {no.serial}.
Remote monitor at {no.ip}; upload to {no.url}. Battery 4.2 y. Thresholds 0.75 V @ 0.4 ms, R 11.2 mV.
One NSVT of 12 beats on {date.month_day}. {not.lab}. {not.dose}. Not driving; car tag {no.tag} surrendered, VIN
{no.vin}. Rep: {rep.full}, cell {no.tel}. Next check {date.abbr}. {tech.full}, RN, CCDS / {ep.last}
""",
    # discharge letter from abroad
    """{place.facility}, {place.town} {place.postcode}          Tel {no.phone_intl}
{date.dmy}
Re: Mrs {pt.full}, d.o.b. {date.dot_us}, hospital no. {no.hospital_no}

Dear Colleague,
Many thanks for taking over the care of this {age.young}-year-old lady, who was on holiday in {place.town} with her
sister-in-law {sil.full} when she developed {not.eponym}. She was admitted under {con.full} on {date.the_th} and had
{not.anatomy}. {not.lab}. {not.dose}. Her travel insurer (policy no. {no.insurance}) has been told. She flies to
{place.town}, {place.state}, on {date.dmy_short}. E-mail: {no.email}.
With best wishes,
{reg.full}
Registrar to Mr {con.last}
""",
    # anaesthesia and block capitals
    """ANESTHESIA RECORD   {pt.LAST_FIRST_MI}   MR# {no.mrn}   {date.caps_dmy}
SURGEON {sg.LAST}   ANESTHESIOLOGIST {an.FULL} MD   CRNA {cr.FULL}   CIRCULATOR {ci.FIRST}
{not.score}   ALLERGIES: PCN   NPO SINCE 2200   CONSENT SIGNED BY MOTHER, {mo.FULL}
MACHINE SERIAL {no.unit_serial}   {not.vital}   EBL 200   {not.dose}   LMA #4
PREOP CALL {date.us2} BY RN {rn.LAST} TO {no.tel}: {not.word}. RIDE HOME: {ride.FIRST} {ride.LAST} (FRIEND), {no.phone}
PT FROM {place.town_caps}. SEEN IN PREOP BY DR. {an.LAST}. TO PACU AT 1120, REPORT TO {pacu.FIRST} {pacu.LAST} RN
""",
    # legal and substance use
    """COURT-ORDERED EVALUATION  Docket no. {no.accession}   Evaluator: {ev.full}, PsyD   License {no.permit}
Examinee: {pt.full} ("{nick.first}"), {age.young}, SSN {no.ssn}, driver's license {no.licence}, of {place.street},
{place.town}, {place.county}. Interviewed {date.us2} and {date.us2} at {place.facility}.
Collateral: mother, {mo.full}; probation officer {po.full}, {no.tel}; attorney {at.last}; letter of {let.full} dated
{date.long}. {pt.last} was arrested {date.abbr_day} after a crash (plate {no.tag}; other driver {od.full}). BAC 0.21.
AUDIT 22. {not.dose} from Dr. {md.last}. Brother {bro.first} died {date.month_year}. {not.eponym}. {not.word}.
Records: {place.facility} ({date.my}), {place.facility} (certificate #{no.licence}). Web review of {no.url}, IP {no.ip}.
Billing: account {no.account}; member number {no.insurance}. Student ID {no.job}. Contact {no.email}.
""",
    # pediatric well visit
    """WELL CHILD 4 Y/O   {date.us}    {pt.first} {pt.last} ("{nick.first}")   MRN: {no.hospital_no}
Here with mom {mom.first} and little brother {bro.first}. Preschool: {place.facility}, teacher Ms. {te.first}.
Ht 40 in, Wt 36 lb. {not.vital}. Parents: {mom.full} and {dad.full}, separated; dad in {place.town}. Grandma: {age.old}.
Vaccines today: DTaP, MMR. Lead <2, {not.lab}. Dentist Dr. {den.last}. Hx {not.eponym}.
Insurance ID# {no.insurance}; parent phone {no.tel}, email {no.email}; release faxed to {no.faxline}. {not.word}.
RTC 1 y. {doc.full}, MD, NPI {no.npi}. cc: {cc.full} (speech), {place.box}, {place.town}, {place.st} {place.zip}
""",
    # addenda and short messages
    """ADDENDUM {date.iso}: culture final, called {pt.last}'s cell ({no.tel}), no answer. -{i.f_last}
ADDENDUM {date.us_short} 0900: reached {sis.first}, pt's sister, who says {pt.first} left for {place.town} on
{date.weekday_plain}. Asked her to have {pt.first} call {nurse.first} at ext {no.ext}. {not.lab}. Rx {no.order} to
{ph.last}'s Pharmacy, {place.street}. Sent message to {doc.full} and {doc2.last} re {not.dose}. -{i.full}, MD
ADDENDUM {date.md}: {pt.first} called back from {no.phone_intl}, will see Dr. {oth.full} at {place.facility}, fax
{no.faxline}. Chart {no.mrn} updated. Visit acct # {no.visit}. Old glucometer s/n {no.unit_serial}. Age {age.old}.
""",
)
