"""Cast, places, dates, codes and decoys of template set "h", written without sight of the rules.

The common names of US patients are drawn three times as often as the rest. Decoys: eponyms, doses, results, settings,
trials, citations, billing codes and spans of time, none of which Safe Harbor counts as an identifier.
"""

from __future__ import annotations

# fmt: off
GIVEN = ("""
John Mary William Elizabeth Robert Margaret Richard Dorothy Joseph Helen Thomas Sarah Christopher Jessica George
Jennifer Edward Shirley Paul Virginia Kenneth Martha Ronald Frances Jonathan Teresa Justin Gloria Frank Marie Luis
Maria Juan Carmen Carlos Rosa Arthur Judith Albert Anna Louis Jean Philip Diana Eugene Alice Russell Theresa Vincent
Sophia Gabriel Emily Zachary Victoria Alan Samantha Marcus Nicole Caleb Madison Isaiah Abigail
""" * 2 + """
Rose May Grace Faith June Violet Dale Ray Glenn Clay Drew Miles Lance Guy Gene Dolores Concepción Hortencia Efraín
Nohemi Gilberto Rocío Wilfredo Yadira Anselmo Darnell Keisha Terrell Monique Reginald Ebony Lamont Jazmine Cedric
Tamika Andre Sunita Ravi Meera Arjun Deepa Suresh Kavita Wei Jing Yan Hong Xin Ming Hyun Eun Sung Linh Hai Trang Duc
Rosario Jomar Fatima Omar Aisha Ibrahim Samir Leila Nadia Abdullahi Hodan Chinedu Ngozi Emeka Kwame Igor Natalia Piotr
Vera Miriam Ezra Chaim Brigid Declan Luca Francesca Heinz Marguerite Desmond Winston Nerissa Lupe Tou Mai Kalea Sione
Wynona Cody Bernice Chester Irma Floyd Velma Roland Harriet Wilbur Geraldine Alvin Pearl Herschel Loretta Stanley
Agnes
""").split()

FAMILY = ("""
Smith Johnson Williams Brown Jones Davis Miller Wilson Moore Taylor Anderson Jackson White Harris Martin Thompson
Garcia Martinez Robinson Clark Rodriguez Lewis Lee Walker Hall Allen Young Hernandez King Lopez Hill Scott Green Adams
Gonzalez
""" * 2 + """
Barnes Ross Henderson Coleman Jenkins Perry Powell Patterson Simmons Bryant Griffin Hayes Ford Hamilton Graham
Sullivan Wallace Cole West Jordan Owens Reynolds Fisher Ellis Gibson McDonald Cruz Marshall Freeman Wells Webb Tucker
Burns Henry Vasquez Simpson Crawford Porter Mason Hunter Hicks Dixon Hunt Palmer Holmes Stone Meyer Boyd Mills Warren
Fox Rose Rice Silva Padilla Salazar Delgado Cabrera Maldonado Figueroa Acevedo Velázquez Zamora Escobedo Tran Le Ngo
Lam Chang Lin Yang Wong Chan Zhou Hsu Cho Song Han Vang Xiong Moua Desai Reddy Mehta Kapoor Krishnan Malik Hussain
Ahmed Hassan Farah Aziz Nasser Saleh Adebayo Obi Okafor Bekele Gebre Appiah Toussaint Jean-Baptiste Pierre-Louis
Santos Ferreira Bautista Manalo Magsaysay Ivanov Volkov Shevchenko Nowak Kaminski Zielinski Novak Horvat Rossi Russo
Marino DeSantis Schmidt Krueger Schultz Hoffman Lindstrom Halvorson Sorensen O'Brien O'Connor Gallagher Doyle Brennan
McCarthy Cohen Levine Friedman Yazzie Benally Kealoha Tuiasosopo LeBlanc Fontenot Guidry Whitfield Hargrove Blackwell
Pruitt Tillman Gaines Bolden Mayfield Bloom Bishop Fields Love Church Bell Cross Flowers Ball Booker Witherspoon
Culpepper Pettigrew Oyler
""").split() + ["Van Dyke", "De la Rosa", "Nguyen", "Nguyen", "Patel", "Kim", "Lopez-Rivera"]

_WOMEN = """
Mary Dorothy Jessica Shirley Maria Rosa Emily Nicole Rose May Yadira Keisha Meera Trang Fatima Ngozi Vera Nerissa Agnes
""".split()
_MEN = """
John Richard Joseph George Paul Luis Arthur Vincent Marcus Caleb Ray Glenn Efraín Darnell Suresh Ming Omar Emeka Sione
""".split()
GIVEN_OF = dict.fromkeys(("mo", "dau", "wf", "sis", "gm", "baby"), _WOMEN) | dict.fromkeys(
    ("hus", "son", "bro", "gs", "fob", "kid"), _MEN
)
"""Given names of those whom a note calls a mother, a husband and so on."""

NICKNAMES = {
    "William": "Bill", "Robert": "Bob", "Elizabeth": "Betsy", "Margaret": "Peggy", "Richard": "Dick", "Dorothy": "Dot",
    "Joseph": "Joey", "Thomas": "Tommy", "Christopher": "Chris", "Jennifer": "Jenny", "Edward": "Ed", "Kenneth": "Ken",
    "Ronald": "Ron", "Frances": "Fran", "Jonathan": "Jon", "Theresa": "Terri", "Eugene": "Gene", "Samantha": "Sam",
}

TOWNS = """
Houston|Cleveland|Baltimore|St. Louis|Sacramento|Omaha|Milwaukee|Tulsa|Fresno|Worcester|Toledo|Chattanooga|Amarillo
Akron|Grand Rapids|Little Rock|Sioux Falls|Fort Wayne|Baton Rouge|Santa Fe|Green Bay|Mobile|Lowell|Scranton|Duluth
Bakersfield|Lubbock|Macon|Roanoke|Topeka|Peoria|Eau Claire|Yuma|Laredo|El Paso|Hialeah|Flint|Camden|Reading|Danbury
Nashua|Lewiston|Burlington|Missoula|Casper|Pocatello|Bend|Spokane|Tacoma|Modesto|Visalia|Escondido|Rockford|Joliet
Gary|Muncie|Bowling Green|Hattiesburg|Selma|Beaufort|Wheeling|Elmira|Utica|Bangor|Brockton|Shiprock|East Orange
Apple Valley|Cottage Grove
""".strip().replace("\n", "|").split("|")

STREETS = """
Oak Street|Main St|Washington Avenue|Cedar Ln|Park Ave|Sycamore Drive|N. Lake Shore Dr|Chestnut St.|2nd Ave NE
E. 79th St|Stonebridge Court|River Road|Meadowbrook Dr|Church Street|Jefferson Blvd|State Route 37|Dogwood Trail
Vine St|Calle Ocho|Magnolia Way|Willow Bend Circle|Fairview Rd|South Broadway|Orchard Pl|Sunset Terrace
Cherry Hill Road|FM 1960|W Ogden Ave
""".strip().replace("\n", "|").split("|")

FACILITIES = """
St. Luke's Hospital|Methodist Medical Center|Tulsa Regional Medical Center|Good Samaritan Hospital|Macon Heart Clinic
Akron General Hospital|Providence Medical Center|Fresno County Hospital|Memorial Hermann Northwest|Valley Orthopedics
Scranton VA Medical Center|Trinity Health Center|Brookside Rehabilitation Hospital|Duluth Family Practice|Mercy West
Lakeland Cancer Institute|Sacred Heart Hospital|Children's Hospital of Omaha|Toledo Women's Clinic|Eastside Urgent Care
""".strip().replace("\n", "|").split("|")

PLACES = {
    "care": ["Golden Years Nursing Home", "Meadowview Care Center", "Heritage Oaks Assisted Living", "Bethel Manor"],
    "agency": ["Visiting Nurse Association of Utica", "Roanoke Valley Home Health", "Great Plains Home Care"],
    "work": ["Tri-County Freight", "Camden Public Library", "Peoria Community College", "Halvorson Lumber",
             "Lubbock Independent School District", "Blue Ridge Poultry", "Gulf States Paper Mill"],
    "shelter": ["Camden Shelter", "Harbor House", "Salvation Army Shelter", "Door of Hope Mission"],
}

DATES = {
    "mdy": "%-m/%-d/%Y", "mdy2": "%-m/%-d/%y", "pad": "%m/%d/%Y", "pad2": "%m/%d", "md": "%-m/%-d", "sql": "%Y-%m-%d",
    "full": "%B %-d, %Y", "Low": "%B %-d", "mon": "%B %-d", "wk": "%A, %B %-d, %Y", "wkmd": "%a %-m/%-d",
    "dm": "%-d %b %Y",
    "month": "%B %Y", "oracle": "%d-%b-%Y", "short": "%b %-d", "born_mdy": "%-m/%-d/%Y", "born_mdy2": "%-m/%-d/%y",
}


def _npi(stem: int) -> str:
    """A National Provider Identifier: nine digits and the Luhn digit over them and the prefix 80840."""
    digits = [int(digit) for digit in f"80840{stem}"]
    return f"{stem}{-(sum(sum(divmod(2 * d, 10)) for d in digits[::-2]) + sum(digits[-2::-2])) % 10}"


def _dea(letter: str, number: int) -> str:
    """A DEA registration's shape: the registrant's letter, any second letter, six digits and their check digit."""
    digits = [int(digit) for digit in str(number)]
    return f"{letter}@{number}{(sum(digits[::2]) + 2 * sum(digits[1::2])) % 10}"


CODES = {
    "mrn": ("medical_record", ["!#######", "E!######", "!##-##-##", "!########", "00!######", "@@!######"]),
    "member": ("health_plan", ["@@@!########", "W!#########", "!@@#-@@#-@@##", "!########-0!", "XEA!########",
                               "!########@"]),
    "acct": ("account", ["!#########", "!###########", "!####-####", "V!#########", "!#######"]),
    "ssn": ("ssn", [f"{area}##-!#-!###" for area in "1234567"]),
    "ssn4": ("ssn", ["####"]),
    "ssn9": ("ssn", [f"{area}## !# !###" for area in "12345"]),
    "tel": ("phone", ["(?##) ?##-####", "?##-?##-####", "(?##)?##-####", "?##.?##.####", "1-?##-?##-####", "?##-####"]),
    "ext": ("phone", ["!####", "!-####"]),
    "pg": ("phone", ["!####"]),
    "fax": ("fax", ["(?##) ?##-####", "?##-?##-####", "(?##)?##-####", "?##.?##.####"]),
    "vin": ("vehicle", ["1HG@@####!@######", "4T1@#!@@#@@######", "1FT@@#@##@@@######"]),
    "plate": ("vehicle", ["@@@ ####", "!@@@###", "@@@-####", "@@ #####", "@!# !@@"]),
    "lic": ("licence", ["@!#####", "RN!######", "!#####", "LC-!####", "!#.!#####"]),
    "npi": ("licence", [_npi(stem) for stem in range(104_000_017, 199_000_000, 1_234_567)]),
    "dea": ("licence", [_dea(letter, number) for letter in "ABFM" for number in range(104_729, 999_999, 31_337)]),
    "dl": ("licence", ["@!##-####-####", "@!#######", "!########"]),
    "serial": ("device", ["@@@######@", "!#########", "@!##-#####", "@@##@#####", "!#-#####"]),
    "lot": ("device", ["!#####", "@@##@###", "!###@#"]),
    "udi": ("device", ["(01)0!############(21)####@##"]),
    "url": ("url", ["https://video.example.com/visit/<name>-####", "mychart.example.org/p/!####",
                    "www.<name>.example.com", "https://www.carepages.example.com/<name>family",
                    "http://photos.example.net/<name>/####"]),
    "ip": ("ip", ["10.<octet>.<octet>.<octet>", "<octet>.<octet>.<octet>.<octet>", "192.168.<octet>.<octet>"]),
    "ip6": ("ip", ["2600:1700:!##a:!###::!#", "fe80::!#c:b!##:!###:!a#"]),
    "mail": ("email", ["<name>!#@mail.example.com", "~<name>@example.net", "<name>.~~~@health.example.org",
                       "~~~_<name>####@example.com"]),
    "path": ("other", ["S!#-#####", "SP-!#-####", "!#S-#####"]),
    "acc": ("other", ["!#######", "CT-!#-######", "@@!########"]),
    "case": ("other", ["!#-CV-####", "CR-!#-####", "!###-PR-####", "!#CR######"]),
    "subj": ("other", ["!##-####", "!###-###", "@@-##-###"]),
    "ref": ("other", ["!######", "@@!#-#####", "!###-####", "!#########"]),
    "staff": ("other", ["!#####", "!####"]),
    "rx": ("other", ["!######", "!#######-0####"]),
    "unit": ("other", ["W####!########"]),
}

DECOYS = {
    "dx": ["Parkinson's disease", "Hodgkin lymphoma", "Graves disease", "Alzheimer's dementia", "Crohn disease",
           "Bell's palsy", "Raynaud's", "Ménière disease", "Barrett's esophagus", "Lyme disease", "Paget disease",
           "Addison's disease", "Wolff-Parkinson-White", "Wegener's", "Hashimoto thyroiditis",
           "Wernicke encephalopathy", "Still's disease", "Sheehan syndrome", "Horner syndrome", "Bowen disease",
           "Burkitt lymphoma", "a Colles fracture", "COPD", "CKD 3b"],
    "med": ["metoprolol succinate 50 mg daily", "Lasix 40 mg IV", "Percocet 10/325", "Lovenox 80 mg q12h",
            "insulin glargine 18 u", "prednisone 40 mg x 5 days", "Advair 500/50", "Bactrim DS 800-160", "Zofran 4 mg",
            "Toprol XL 100", "Symbicort 160/4.5", "Novolin 70/30", "warfarin 2.5 mg", "Tylenol #3",
            "D5NS at 100 cc/hr", "Synthroid 88 mcg", "KCl 20 mEq", "Vicodin 5-300"],
    "lab": ["WBC 12.4, Hgb 10.1, Plt 188", "Na 131 / K 5.2", "Cr 1.4 (baseline 0.9)", "A1c 9.4", "BNP 912", "INR 3.1",
            "pro-BNP 2405", "ABG 7.29/61/74/28", "trop <0.01 x3", "TSH 0.04", "lactate 4.2 -> 1.9", "CD4 212, VL <20",
            "ALT 210, AST 188", "Glu 342", "UA 10-20 WBC/hpf", "ESR 94", "Vanc trough 17.2", "LDL 101",
            "PSA 0.3 -> 1.2", "ANC 900", "CK 1822", "T bili 2.2"],
    "vs": ["BP 120/80", "T 100.4 P 112 R 22 BP 96/54 O2 91% RA", "BP 142/91, HR 78", "97.9-84-16-118/72",
           "SpO2 95% on 3L", "HR 90s", "sats 88-92%", "Wt 91.4 kg", "pain 8/10", "MAP 62-70", "FSBS 214", "Tmax 38.4",
           "I/O 1850/920", "BMI 33.1", "RR 24"],
    "exam": ["strength 5/5 throughout", "4/5 in the left deltoid", "2+ DP pulses", "II/VI SEM at RUSB",
             "negative Homan's sign", "Murphy's sign negative", "DTRs 2/4", "vision 20/40 OD, 20/25 OS",
             "positive Tinel and Phalen", "GCS 3-5-6", "CN 2-12 intact", "Babinski downgoing", "Romberg negative",
             "Spurling's positive", "McMurray test negative", "no Roth spots", "AAO x3"],
    "score": ["NIHSS 4", "MMSE 26/30", "Braden 14", "Apgar 8/9", "Glasgow 15", "HEART score 5", "Karnofsky 70",
              "Morse 55", "PHQ-9 17", "Child-Pugh B8", "Ranson 3", "Gleason 4+3", "Fitzpatrick III", "Wells 6",
              "CURB-65 2", "Katz 4/6", "Kellgren-Lawrence 3"],
    "line": ["Foley", "Foley catheter", "Hickman", "Jackson-Pratt drain", "Quinton catheter", "Dobhoff tube",
             "Blake drain", "Penrose", "Ommaya reservoir", "Groshong",
             "Shiley 8", "Swan", "PICC", "18g R AC"],
    "gene": ["BRCA2", "EGFR L858R", "HER2 3+", "KRAS G12C", "MSH6", "JAK2 V617F", "CD34+", "PD-L1 60%", "BCR-ABL",
             "Ki-67 20%", "p16"],
    "spine": ["L4-L5", "C5-6", "T11-T12", "L5-S1", "C3-C7", "L2-3", "T7", "C1-2"],
    "lit": ["KEYNOTE-189", "the SPRINT trial", "NEJM 2018;378:2078-92", "NCCN v3.2021", "ACOSOG Z0011", "PARADIGM-HF",
            "RTOG 0617", "JAMA 2016;315(8):801-10", "CHEST 2016", "Lancet 2019;393:1819-30", "DAPA-HF", "B-51",
            "the ARDSNet protocol", "GOLD 2023"],
    "code": ["I10", "E11.9", "ICD-10 C50.911", "CPT 27447", "M54.16", "HCPCS E0601", "J18.9", "CPT 99213", "DRG 470",
             "Z79.4", "F33.1"],
    "vent": ["AC 16/450/40%/5", "PSV 10/5", "PEEP 8, FiO2 0.5", "BiPAP 12/6", "VT 420 (6 cc/kg)", "SIMV 12 TV 500",
             "HFNC 40L/50%"],
    "when": ["x 3 days", "since 2014", "2-3 times a week", "since 0615", "in the last 6 weeks", "for 10+ years",
             "q6h or so", "since the late 1990s", "24/7", "since last fall", "for 8-10 hours", "twice in 2019",
             "for 1 1/2 weeks", "over the weekend", "since age 12", "since POD 2"],
    "maker": ["Zimmer Persona", "Smith & Nephew Legion", "DePuy Attune", "Stryker Triathlon", "Medtronic Solera",
              "Globus Creo"],
}
