"""Names, places and decoys of the invented notes: of many origins, drawn up without a look at the rules' own lists.

Template set "a" uses every other entry, set "b" the rest.
"""

from __future__ import annotations

GIVEN = """
Adaeze Oluwaseun Tendai Chiamaka Kwabena Nthabiseng Thabo Ifeoma Zanele Mamadou Fatoumata Amina Yusuf Khadija Tariq
Layla Farid Nasreen Reza Shirin Dariush Parisa Emre Ayşe Mehmet Zeynep Avi Tzipora Moshe Rivka Yael Svetlana Dmitri
Oksana Bohdan Ludmila Katarzyna Wojciech Zbigniew Agnieszka Jiří Lenka Zoltán Ágnes Ilona Dragan Milica Snežana Goran
Eleni Stavros Despina Giuseppe Chiara Lorenzo Ornella Joaquín Guadalupe Xóchitl Rigoberto Esperanza Yolanda Héctor
Consuelo Inês Thiago Beatriz Jorginho Geneviève Thierry Maëlle Odile Gerhard Liselotte Heike Wolfgang Joost Marijke
Siobhán Eoin Niamh Padraig Rhiannon Gwilym Hamish Morag Solveig Torbjørn Ingrid Aino Pekka Sanna Rajesh Lakshmi
Priyanka Venkatesh Harpreet Gurpreet Arundhati Debashish Nimal Chathurika Xiuying Jianguo Meiling Weiming Haruka
Takeshi Noriko Kenji Minjun Seoyeon Jihye Thanh Phuong Quang Tuyet Somchai Siriporn Bayani Marisol Ligaya Keoni Leilani
Tavita Aroha Wiremu Mary Walter Doris Earl Hope Grace Will Mark Rose Faith Sherry Shaniqua Dequan Tyrell Lakeisha
Brayden Kaylee Mackenzie Bertha Mildred Ethel Clarence Norbert Winifred Elmer Opal Jean-Luc Anne-Marie Mary-Beth
""".split()

FAMILY = (
    """
Okonkwo Adeyemi Oyelaran Mwangi Ndlovu Dlamini Mensah Asante Diallo Traoré N'Diaye Abdi Warsame Haddad El-Masri
Al-Sayed Khoury Farahani Rostami Yıldız Öztürk Demirci Ben-David Goldfarb Rabinowitz Shapiro Kuznetsova Petrenko
Kowalczyk Wiśniewska Nowicki Dvořák Novotná Szabó Horváth Popescu Ionescu Jovanović Kovačević Papadopoulos
Georgiou Esposito Ricciardi Mancuso Villanueva Echeverría Zapata Quiñones Castellanos Xochihua Figueroa
Montenegro Baptista Carvalho Teixeira Lefebvre Desrosiers Beauchamp Thibodeaux Vogelsang Schreiber Eisenhower Brandt
Hoekstra Dijkstra Verhoeven O'Shaughnessy O'Leary McGillicuddy MacPherson McAllister Llewellyn Pritchard
Kjeldsen Halvorsen Lindqvist Virtanen Korhonen Subramanian Venkataraman Chakraborty Bhattacharya Deshpande Gill
Sandhu Wickramasinghe Jayawardena Zhang Ouyang Huang Xu Ng Tanaka Yamamoto Fujiwara Kobayashi Park Choi Kwon
Truong Huynh Vo Suwannarat Macaraeg Dimaculangan Kahananui Faleolo Tamatea Whitehorse Begay Tsosie Underwood
Featherstone Higginbotham Abernathy Cogswell Ledbetter Pennington Thistlewood Stroud Young Long Price Bond Cook Field
Stone Wolfe Frost Christmas Bird Early Small Ash Wu Li Bo Oh Sy
""".split()
    + [
        "van der Meer",
        "de la Cruz",
        "van Houten",
        "Dos Santos",
        "St. Clair",
        "Bin Rashid",
        "Del Rosario",
        "Garcia-Lorca",
        "Smith-Okafor",
        "von Trapp",
        "Lund-Hansen",
        "De Luca",
    ]
)

# fmt: off
TOWNS = [
    "Ashtabula", "Winnemucca", "Tewksbury", "Pawtucket", "Chillicothe", "Yakima", "Kalispell", "Bemidji",
    "Natchitoches",
    "Opelousas", "Ypsilanti", "Kokomo", "Waukesha", "Sheboygan", "Cuyahoga Falls", "Rancho Mirage", "Brattleboro",
    "Skowhegan", "Poughkeepsie", "Schenectady", "Lackawanna", "Bala Cynwyd", "Punxsutawney", "Murfreesboro",
    "Tuscaloosa",
    "Valdosta", "Kissimmee", "Apalachicola", "Nacogdoches", "Corsicana", "Las Cruces", "Truth or Consequences",
    "Provo",
    "Coeur d'Alene", "Walla Walla", "Ketchikan", "Hilo", "Wahiawa", "Sault Ste. Marie", "Fond du Lac", "Marblehead",
    "Woonsocket", "Bridgewater", "Fairhaven", "Mount Pleasant", "Cedar Rapids", "North Platte", "West Bend",
]

STREETS = [
    "Larkspur Lane", "Old Quarry Road", "Beaumont Ave", "N. Delancey St", "Kettle Creek Drive",
    "Martin Luther King Blvd",
    "West 43rd Street", "Peachtree Ct.", "County Road 12", "Mill Pond Way", "Thornapple Terrace", "Elm St.",
    "Avenida del Sol", "Bluebonnet Circle", "5th Avenue", "Rue Toulouse", "SW Hawthorne Blvd", "Old Post Rd",
    "Juniper Place", "Highland Pkwy", "Route 9", "Cannery Row", "Whippoorwill Trail", "East Main Street",
]

FACILITIES = [
    "Mercy Hill Hospital", "St. Brendan's Medical Center", "Tewksbury General Hospital",
    "Lakeview Rehabilitation Center",
    "Cedar Grove Nursing Home", "Whitcomb Memorial Hospital", "Pine Ridge Assisted Living",
    "Our Lady of Sorrows Hospital",
    "Harborside Skilled Nursing Facility", "Bayview Dialysis Center", "University of Winnemucca Medical Center",
    "Sunrise Senior Living", "Holy Redeemer Hospital", "Blue Heron Hospice", "Kokomo Community Hospital",
    "Beth Shalom Hospital", "Riverbend Clinic", "Eastgate Family Practice", "Maple Leaf Manor",
    "Yakima VA Medical Center",
]

DOMAINS = ["example.org", "mercyhill.example.com", "webmail.example.net", "stbrendans.example.edu",
"carelink.example.com",
           "northfield-clinic.example.org"]

DECOYS = {
    "eponym": [
        "Parkinson's disease",
        "Crohn's disease",
        "a positive Babinski sign",
        "negative Murphy's sign",
        "Foley catheter",
        "a Hickman line",
        "Swan-Ganz catheter",
        "Kussmaul respirations",
        "Guillain-Barré syndrome",
        "Graves' disease",
        "Hashimoto's thyroiditis",
        "Wernicke's encephalopathy",
        "Bell's palsy",
        "Barrett's esophagus",
        "Sjögren's syndrome",
        "Charcot joint",
        "McBurney's point",
        "Roux-en-Y gastric bypass",
        "Marfan syndrome",
        "Down syndrome",
        "Tourette syndrome",
        "Hodgkin lymphoma",
        "Wilson's disease",
        "a Jackson-Pratt drain",
        "Whipple procedure",
        "Virchow's triad",
        "Cushing's syndrome",
        "Addison's disease",
        "Meckel's diverticulum",
        "Dupuytren's contracture",
        "a Baker's cyst",
        "Kaposi sarcoma",
        "Osgood-Schlatter disease",
        "Stevens-Johnson syndrome",
        "Raynaud phenomenon",
        "a Colles fracture",
        "the Whipple resection",
        "negative Homans sign",
        "Trousseau's sign",
        "Lewy body dementia",
        "Huntington's disease",
        "Epley maneuver",
        "a Mallory-Weiss tear",
        "Zenker's diverticulum",
        "Ewing sarcoma",
        "Gleason 3+4=7",
        "Barlow maneuver",
    ],
    "lab": [
        "Na 138, K 4.2, Cl 101, HCO3 24, BUN 18, Cr 1.1",
        "WBC 11.2, Hgb 9.8, Plt 245",
        "INR 2.3",
        "troponin 0.04",
        "lactate 1.8",
        "HbA1c 7.2%",
        "TSH 2.45",
        "Glucose 123-145-167",
        "138 101 18 / 4.2 24 1.1",
        "AST/ALT 34/41",
        "pH 7.31, pCO2 52, pO2 78",
        "LDL 132 HDL 44",
        "ANC 1200",
        "BNP 1450",
        "PSA 4.1",
        "CK 1200-1340-1105",
        "glucose 212 198 1453",
        "platelets 150-400",
        "BCx 2/2 bottles",
        "ESR 34 mm/hr",
        "D-dimer 1,240",
    ],
    "vital": [
        "BP 120/80",
        "T 98.6 HR 88 BP 132/76 RR 18 SpO2 96% RA",
        "98% on room air",
        "93% RA",
        "HR 72-90",
        "BP 118-134/60-75",
        "Tmax 101.3",
        "wt 82.5 kg",
        "RR 12-16",
        "O2 sat 91% on 2L NC",
        "GCS 15",
        "GCS 3T",
        "MAP 65",
        "BMI 27.4",
    ],
    "fraction": [
        "strength 5/5 throughout",
        "4/5 strength in the left leg",
        "2/6 systolic murmur",
        "III/VI murmur",
        "pain 7/10",
        "1/2 NS at 75 cc/hr",
        "pulses 2+/4",
        "reflexes 2/4",
        "visual acuity 20/40",
        "Apgars 8/9",
        "ratio 1/3",
        "3/4 SIRS criteria",
        "NIHSS 4/42",
        "MMSE 27/30",
        "24/7 care",
        "10/12 positive nodes",
        "12/15 on the scale",
    ],
    "dose": [
        "metoprolol 25 mg BID",
        "lisinopril 10 mg daily",
        "Percocet 5/325 mg",
        "Lasix 40 mg IV x1",
        "Augmentin 875/125 mg BID",
        "insulin 70/30 12 units",
        "Tylenol 650 mg q6h prn",
        "Coumadin 5 mg qHS",
        "heparin 5000 units SQ TID",
        "vancomycin 1 g q12h",
        "Zosyn 4.5 g",
        "Lantus 22 units",
        "Advair 250/50",
        "B12 1000 mcg",
        "5-FU 400 mg/m2",
        "Humalog 75/25",
        "Novolog sliding scale",
        "Plavix 75 mg",
        "Lipitor 80 mg",
        "Keppra 500 mg",
        "Ativan 0.5 mg",
        "Dilaudid 0.2 mg",
        "D5 1/2 NS",
        "Neupogen 300 mcg",
    ],
    "anatomy": [
        "L4-5 disc bulge",
        "C5-C6 stenosis",
        "T12 compression fracture",
        "L5-S1",
        "segments 4/5",
        "T2-T4",
        "V3 segment",
        "the 4th and 5th ribs",
        "S1 radiculopathy",
        "CN II-XII intact",
        "C7-T1",
        "3rd metacarpal",
        "T1 and T2 weighted images",
    ],
    "gene": [
        "BRCA1",
        "HER2",
        "KRAS G12D",
        "p53",
        "CD20",
        "CA 19-9",
        "FLT3-ITD",
        "MLH1",
        "CYP2C19",
        "JAK2 V617F",
        "ALK",
    ],
    "time": [
        "6 months ago",
        "in 2-3 weeks",
        "for the past 5 days",
        "x 3 days",
        "at 14:30",
        "since 2009",
        "in 1998",
        "over 10 years",
        "q4-6h",
        "in the summer",
        "24 hours",
        "every 12 weeks",
        "at 0600",
        "for 3-4 days",
        "POD #2",
        "HD 3",
    ],
    "device": [
        "a 16 Fr catheter",
        "7.5 ETT at 22 cm",
        "20 gauge IV",
        "an 18G IV",
        "a 3.0 x 18 mm stent",
        "size 7 shoe",
    ],
    "month": [
        "influenza vaccine each October",
        "ragweed season in August and September",
        "He may go home",
        "She may march in place",
        "may march with a walker",
        "in the months of June and July his asthma is worse",
        "Patient may resume diet",
        "symptoms that recur every December",
        "She may shower",
    ],
}
# fmt: on
"""Texts that look like identifiers and are none."""
