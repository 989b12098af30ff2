"""Template set "c" of the invented notes, with a cast and towns of its own: written when set "b" had been measured and
before its misses were looked at, so that there is a set again which no rule has seen."""

from __future__ import annotations

GIVEN = """
Abeni Chukwuemeka Folasade Kagiso Lerato Wanjiru Otieno Habiba Suleiman Zahra Bahram Soraya Orhan Elif Menachem
Shoshana
Galina Yevgeny Zofia Stanisław Bohumil Tereza Gábor Radmila Vesna Panagiotis Ioanna Salvatore Graziella Montserrat
Lisandro Itzel Evaristo Milagros Davi Célia Étienne Solange Dietrich Annelise Sjoerd Fenna Ciarán Gráinne Iolanthe
Dougal Astrid Leif Riikka Anand Kavitha Manjula Sukhdev Rupinder Xiaoming Guoqiang Ayumi Hiroto Sooyoung Nguyet Kanya
Rizalino Malia Sione Ngaire Harriet Percival Agatha Clement Ivy Jasmine Ruth-Ann Lionel Thaddeus Prudence Cornelius
""".split()

FAMILY = (
    """
Adebayo Nwachukwu Kipchoge Wachira Mokoena Sithole Boateng Owusu Camara Keïta M'Baye Hersi Nasrallah Al-Rashidi Shirazi
Tehrani Aksoy Korkmaz Weizmann Teitelbaum Volkov Shevchenko Zieliński Wójcik Procházka Molnár Dumitrescu Petrović
Angelopoulos Lombardi Tedesco Arrieta Bustamante Cárdenas Huitzilin Orozco Almeida Moreira Fontaine Guillory Landry
Kirchner Ziegler Westerhof O'Dowd O'Flaherty McTavish MacDougall Gwynne Rasmussen Sørensen Nieminen Krishnamurthy
Mukherjee Kulkarni Dhaliwal Abeysekera Qiu Zheng Matsumoto Nishimura Kang Yoon Doan Bui Chaiyasit Bautista Kealoha
Tuiasosopo Yazzie Blackwood Thornbury Hathaway Crabtree Lovelace Wren Hale Moon Sharp Rich Fox Noble Lim Tan Ho
""".split()
    + ["ter Horst", "De Souza", "van Dijk", "La Rosa", "El Amrani", "Pérez-Soto"]
)

# fmt: off
TOWNS = [
    "Oneonta", "Chelmsford", "Pocatello", "Wausau", "Muskogee", "Cheektowaga", "Ocala", "Tullahoma", "Elko",
"Sandusky",
    "Cape Girardeau", "Eau Claire", "Terre Haute", "Twin Falls", "Grand Forks", "Council Bluffs", "Hattiesburg",
    "Bennington", "Nashua", "Petaluma", "Lompoc", "Wenatchee", "Pueblo", "Gallup",
]

STREETS = [
    "Wisteria Court", "Chestnut Hill Ave", "Pine St", "S. Kenmore Blvd", "Meadowlark Drive", "31st Street", 
    "Harbor View Rd",
    "Sycamore Ln", "Ridgeline Way", "Lincoln Highway", "Orchard Place", "North 7th Avenue",
]

FACILITIES = [
    "Oneonta Regional Hospital", "St. Cuthbert's Hospital", "Willow Bend Nursing Home", "Good Shepherd Medical Center",
    "Chelmsford Surgical Center", "Heritage Oaks Assisted Living", "Sandusky Memorial Hospital", 
    "Mount Olivet Hospice",
    "Northgate Dialysis Clinic", "Saint Philomena Medical Center", "Prairie Winds Rehab", "Lompoc Valley Hospital",
]

# fmt: on
NOTES = (
    # hospitalist progress note
    """HOSPITALIST PROGRESS NOTE    {date.us}    HD#4
Patient: {pt.full}    MRN: {no.mrn}    Age/Sex: {age.old} y.o. M
Primary team: {att.last} / {res.last}

S: No acute events overnight per RN {nurse.first}. Mr. {pt.last} reports less dyspnea. His niece {niece.first}
visited, and so did his
old friend {friend.full}. O: {not.vital}. {not.lab}. Exam: {not.fraction}; {not.device} in place.
A/P: {age.old}M w/ {not.eponym}, admitted {date.md} from {place.facility}. 1) CHF: {not.dose}. 2) DM: {not.dose}.
Echo {date.us_short} unchanged
from {date.abbr_year}. 3) Dispo: PT recommends {place.facility}; case manager {cm.full} to call daughter at
{no.phone}. Lives alone at
{place.street} in {place.town}. {not.month}
Discussed with Dr. {cons.full} (cardiology) on {date.month_day}. Contact precautions. Code: DNR per HCP, {hcp.full}.
{res.full}, MD   Pager {no.pager}   Cosigned: {att.full}, MD {date.us_mixed}
""",
    # ambulance run sheet
    """EMS PATIENT CARE REPORT   Run number {no.job} is stored with case # {no.accession}
Date: {date.dash}   Crew: {emt.full}, EMT-P; {emtb.full}, EMT   Unit plate: {no.plate}
Pt name {pt.LAST_FIRST}  DOB {date.born}  SSN {no.ssn}
Dispatched to {place.street}, {place.town} {place.st} {place.zip} for fall. Met by wife {wife.first}, who states pt
slipped. GCS 15. {not.vital}. {not.fraction}.
Hx {not.eponym}; meds {not.dose}, {not.dose}. Vehicle in MVC: blue Ford, VIN {no.vin}. Transported to
{place.facility}, report given to {rn.full} RN.
Insurance: Medicaid no. {no.plan}. Phone {no.phone}. Monitor serial number {no.serial}. Signature: {emt.FULL}
""",
    # genetics letter
    """{place.facility}, Department of Genetics
{place.box}, {place.town}, {place.state} {place.zip}      Fax: {no.fax}

{date.long}

Dear Dr. {ref.full},

Thank you for referring {pt.full} (DOB {date.born_long}; our ref. no. {no.accession}), a {age.young}-year-old teacher
from {place.town}. She was seen
with her mother, {mom.full}, and her sister {sis.first} on {date.dmy}. Her maternal grandmother {gran.first} died at
{age.old} of {not.eponym}. Testing
of {not.gene} was negative; {not.gene} showed a variant. Her cousin, {cous.full}, was found to carry it in
{date.month_year}. Subject ID: {no.study}.

Results are at {no.url}; write to {no.email} or call {no.phone}. Insurance ID number {no.plan}; account no.
{no.account}.

With kind regards,
{gen.full}, MS, CGC
Licensed genetic counselor, license number {no.licence}; NPI {no.npi}
""",
    # dialysis nursing, terse
    """HD tx note {date.us_short}: pt {pt.last}, {pt.first} arrived from {place.town} by van. Pre wt 82.5 kg,
{not.vital}. Access: L AVF, {not.device}. {not.lab}.
Dialyzer serial {no.serial}. Heparin 2000 units. Pt c/o cramps, {not.fraction}. Dr. {neph.Last} called, order for
{not.dose}. {pt.first} states
"{son.first} my son is moving to {place.town}". Next tx {date.md}. Tech: {tech.full}. Charge RN: {rn.full}. Transport
phone {no.phone7}. Interpreter {int.first} on line.
Machine IP {no.ip}. Chart # {no.mrn}. Unit fax {no.fax}. Hep B vaccine given {date.md0}. EDW changed since
{date.abbr_day}.
Wallet card: pacer, device serial no. {no.serial}; insurance policy # {no.plan}. DL no. {no.licence}. {not.month}.
""",
    # psych intake / legal
    """INTAKE EVALUATION. Name of client: {pt.full}. Alias: {nick.first}. Date of intake: {date.abbr}. Referred by:
Judge {judge.full}, {place.county}.
SSN: {no.ssn}. Badge of arresting officer {off.last}: {no.badge}. Plate {no.plate} impounded {date.the_th}.
Client is a {age.young} y.o. male from {place.town}, the third child of {dad.full} and {mom.full}. His ex-wife,
{ex.first}, has custody of {kid.first}. He has
{not.eponym}. He worked for his uncle {un.first} until {date.my}. Grandfather lived to {age.old}. Meds: {not.dose}.
{not.vital}. {not.time}.
Parole contact {po.full} ({no.phone}, {no.email}). Home: {place.apt}, {place.town}. Account for billing: acct #
{no.account}. Web: {no.url}.
Health plan no. {no.plan}. Session from {no.ip}. Certificate no. {no.licence}. Device ID {no.serial}.
Evaluated by {psy.full}, PhD. Reviewed with {sup.last_comma}. Scheduled with {ther.full} for {date.long_th}.
""",
    # ultrasound report, capitals
    """EXAM: ULTRASOUND ABDOMEN COMPLETE
PATIENT: {pt.LAST_FIRST}   MRN: {no.mrn}   ACCESSION NO: {no.accession}
ORDERED BY: {ord.FULL}, MD   DATE OF EXAM: {date.DMY_ABBR}
HISTORY: {age.young}-YEAR-OLD FEMALE WITH {not.eponym}. PRIOR STUDY {date.us} AT {place.facility_caps}.
FINDINGS: THE LIVER MEASURES 15.2 CM. COMMON BILE DUCT 4 MM. MURPHY SIGN NEGATIVE. RIGHT KIDNEY 10.1 CM, LEFT KIDNEY
10.4 CM. NO ASCITES.
IMPRESSION: CHOLELITHIASIS. DR. {rad.LAST} DISCUSSED WITH MS. {np.LAST} ON {date.LONG}. FAX {no.fax}.
TECHNOLOGIST: {tech.FIRST} {tech.LAST}. READ BY: {rad.FULL}, M.D.
""",
)  # fmt: skip
