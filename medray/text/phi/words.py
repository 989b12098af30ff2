"""What single words are: common vocabulary, terms that are written with a capital but name nobody, names of people."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib.resources import files


def _lists(name: str) -> dict[str, frozenset[str]]:
    """The words of a file of this package, by the list they stand in; lines with # are comments."""
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    body = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    _, *pieces = re.split(r"^(\w+):$", body, flags=re.M)
    return {title: frozenset(words.split()) for title, words in zip(pieces[::2], pieces[1::2], strict=True)}


_NAMES = _lists("names.txt")
GIVEN = _NAMES["given"]
"""Frequent given names."""
FAMILY = _NAMES["family"]
"""Family names that are very frequent, and frequent ones that are words or terms too (Price, Stone, Long)."""
NAME_WORDS = _NAMES["words"]
"""Less frequent family names that are words: a capital alone does not make a name of them."""

STATES = frozenset(
    """alabama alaska arizona arkansas california colorado connecticut delaware florida georgia hawaii idaho illinois
indiana iowa kansas kentucky louisiana maine maryland massachusetts michigan minnesota mississippi missouri montana
nebraska nevada ohio oklahoma oregon pennsylvania tennessee texas utah vermont virginia washington wisconsin wyoming
hampshire jersey mexico york carolina dakota rhode columbia""".split()
)
STATE_CODES = frozenset(
    """AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR PA
RI SC SD TN TX UT VT VA WA WV WI WY DC PR""".split()
)
MONTHS = tuple("january february march april may june july august september october november december".split())

_CALENDAR = frozenset("jan feb mar apr may jun jul aug sep oct nov dec mon tue wed thu fri sat sun".split())

_TOWNS = _lists("towns.txt")
TOWNS = _TOWNS["one"]
"""Cities of one word that is nothing else."""
TOWN_WORDS = _TOWNS["words"]
"""Cities of one word that is a word, a term or a name too (Liberty, Temple)."""
LONG_TOWNS: dict[str, list[str]] = {}
"""Cities of several words, by the first of them."""
for _town in sorted(name.replace("_", " ") for name in _TOWNS["several"]):
    LONG_TOWNS.setdefault(re.split("[ .-]", _town)[0], []).append(_town)

_TERMS = """
addison addisonian allis alzheimer alzheimers angelchik apgar argyll asherman asperger austin auer babinski babcock
baker balthazar barlow barr barre barrett bartholin bartonella bartter basedow bassini beck becker becks behcet bell
bence bennett bethesda billroth binswanger bishop bitot blalock blom boerhaave borg borrelia bosniak bouchard bovie
braden brca broca brooke brudzinski brugada budd buerger burkitt caldwell castleman celsius chadwick chagas charcot
chevron cheyne chiari child childs chvostek clostridium cobb codman colles coombs cornell cotton courvoisier cowden
coxsackie creutzfeldt crohn crohns cullen cushing cushings dandy darier debakey denonvilliers dercum desault diels
dix dixon doppler douglas down dressler duchenne duke dukes dupuytren eaton ebstein ehlers eisenmenger epley epstein
erb escherichia ewing fabry fallot fanconi fazekas felty finkelstein fitzpatrick fogarty foley fontan fournier frank
french frenchay friedreich froment fuchs gaucher gelpi gerota giemsa gilbert glasgow gleason goldman goodpasture
gore gottron gower gram graves grave greenfield grey guillain gustilo haemophilus hallpike hamman hampton hartmann
hashimoto hawkins heberden hegar heimlich heinz heller henoch hesselbach hibiclens hickman hill hirschsprung hodgkin
hodgkins hoffmann hohmann holter homan homans horner horners howell howship hunt hunter huntington hurler hurthle
jackson jefferson jobe jones kaposi kartagener kawasaki kayser kegel kehr kelly kelvin kernig kerley killip
kirschner klatskin klebsiella klinefelter klippel kocher koplik korotkoff korsakoff krukenberg kupffer kussmaul
lachman laennec lambert langerhans langhans lasegue leder legg legionella leishmania leopold leriche lesch levine
lewy leydig lhermitte liddle likert lisfranc lister listeria luer ludwig lugol lyme lynch macintosh maddrey
malassezia mallampati mallory marfan marshall mayfield mayo mccune mcburney mcmurray mcroberts meckel meige meigs
mendelson meniere merkel metzenbaum miller milwaukee mirizzi mobitz mohs moro morton munchausen murphy neer
neisseria nelaton nissen noonan norton nottingham ogilvie ortolani osgood osler paget pancoast papanicolaou pap
parkinson parkinsons parkland passy patrick peutz peyronie pfannenstiel phalen pick pickwick pierre pneumocystis
poland pott potter potts prader prinzmetal pringle proteus pseudomonas purkinje quincke ramsay ransohoff ranson
rapidfire raynaud raynauds refsum reiter rett reye richter rickettsia riedel rinne ringer ringers rokitansky romberg
rorschach roth rouviere roux rovsing salmonella scarpa schatzki scheuermann schiller schirmer schlatter schlemm
schmorl schwann seldinger sengstaken serratia sezary sharpey sheehan shigella simmonds simpson sims sipple sjogren
sjögren skene sly smith snellen spigelian spurling staphylococcus starling stein stevens steri still streptococcus
stokes sturge sudeck swan sweet sydenham takayasu takotsubo tanner tarlov tay thomas thompson tietze tinel todd
tourette treitz trendelenburg treponema trousseau turner valsalva vater venturi verhoeff virchow waddell wagner
waldenstrom waller wallenberg wangensteen warthin waterhouse watson weber wegener weil weitlaner welch wenckebach
werdnig wernicke wharton wheeler whipple whitaker wilms wilson wirsung wolff wood wright yankauer yersinia zenker
ziehl zollinger ganz acinetobacter actinomyces aspergillus bacteroides candida chlamydia citrobacter corynebacterium
cryptococcus enterobacter enterococcus giardia helicobacter histoplasma lactobacillus mycobacterium mycoplasma
plasmodium toxoplasma trichomonas abilify accolate aciphex actonel actos adderall advair advil afrin aggrenox
albuterol aldactone aleve allegra amaryl ambien amoxil ancef aricept armour arimidex ativan atrovent augmentin
avandia avapro avelox bactrim bactroban benadryl benicar betadine biaxin botox bumex buspar bystolic calan cardizem
cardura catapres celebrex celexa cellcept cialis cipro clarinex claritin cleocin clonidine colace combivent
compazine concerta coreg coumadin cozaar crestor cymbalta cytoxan darvocet decadron demerol depakote depo dermabond
detrol diflucan dilantin dilaudid diovan ditropan duoneb duragesic dyazide ecotrin effexor eliquis enbrel epogen
evista feosol flagyl flexeril flomax flonase flovent floxin foradil fosamax geodon gleevec glucophage glucotrol
glucovance haldol herceptin humalog humira humulin hytrin hyzaar imdur imitrex imodium inderal indocin isordil
januvia kayexalate keflex kenalog keppra kefzol klonopin klor lamictal lanoxin lantus lasix levaquin levemir levitra
levothroid levoxyl lexapro librium lidoderm lipitor lomotil lopid lopressor lortab lotensin lotrel lovenox lunesta
lupron lyrica maalox macrobid marcaine maxzide medrol metamucil micronase minipress miralax mobic motrin mucinex
mylanta namenda naprosyn nasonex neosporin neulasta neupogen neurontin nexium niaspan nitro norco normodyne norvasc
novolin novolog optiray omnipaque orapred oxycontin pamelor parafon paxil pepcid percocet peridex phenergan
plaquenil plavix pravachol premarin prevacid prilosec prinivil procardia procrit prograf protonix proventil provera
prozac pulmicort reglan relafen remeron remicade restoril retin risperdal ritalin robaxin robitussin rocephin
roxicet seroquel senokot sinemet singulair skelaxin solu spiriva strattera sudafed symbicort synthroid tagamet
tamiflu tegretol tenormin tessalon tobradex topamax toprol toradol trazodone tricor tums tylenol ultracet ultram
unasyn valium valtrex vancocin vaseline vasotec ventolin versed viagra vicodin vioxx visine vistaril voltaren
vytorin warfarin wellbutrin xanax xarelto xopenex xylocaine zantac zaroxolyn zestoretic zestril zetia ziac zithromax
zocor zofran zoloft zometa zosyn zovirax zyprexa zyrtec zyvox medtronic abbott guidant boston globus stryker synthes
zimmer biomet ethicon covidien cook cordis philips siemens bard arrow hemovac jackson-pratt vicryl monocryl prolene
ethibond nylon ioban chloraprep gelfoam surgicel seprafilm steri-strips kerlix xeroform adaptic webril kerrison
penfield rongeur leksell ligasure endo endocatch gia harmonic toyota honda chevrolet chevy nissan hyundai subaru
mazda volkswagen volvo acura audi bmw buick cadillac chrysler infiniti kia lexus lincoln mercedes mitsubishi pontiac
porsche saturn tesla jeep harley davidson camry civic corolla aetna cigna humana anthem kaiser medicare medicaid
tricare hipaa google facebook zoom skype walmart costco mcdonald mcdonalds excel windows epic cerner english spanish
french german italian portuguese russian chinese mandarin cantonese vietnamese korean japanese arabic hindi tagalog
haitian creole polish greek hebrew farsi urdu american african asian hispanic latino latina caucasian european
indian mexican cuban dominican ethiopian somali nigerian jamaican irish british canadian jewish catholic christian
protestant muslim baptist hindu buddhist jehovah jehovahs america africa asia europe canada mexico guatemala
honduras salvador nicaragua panama cuba haiti jamaica colombia venezuela ecuador peru bolivia brazil chile argentina
uruguay england scotland wales ireland france spain portugal italy germany austria switzerland belgium netherlands
denmark norway sweden finland iceland poland ukraine russia romania bulgaria greece turkey egypt morocco algeria
nigeria ghana kenya uganda ethiopia somalia sudan congo israel lebanon syria iraq iran afghanistan pakistan india
nepal bangladesh china taiwan japan korea vietnam laos cambodia thailand burma malaysia singapore indonesia
philippines australia zealand puerto rico usa uk monday tuesday wednesday thursday friday saturday sunday mon tues
mondays tuesdays wednesdays thursdays fridays saturdays sundays pharmd psyd edd
wed thurs fri christmas thanksgiving easter jan feb mar apr jun jul aug sep sept oct nov dec internet covid sars
ebola gleason breslow clark lauren dukes figo bi-rads birads tirads pirads caprini wells sulfa sulfas pcn neuro abd
resp cardio pulm heme endo musc msk heent psych gi gu id ext skin labs meds apgar apgars allergies dtr echo neph
rheum ortho onc derm cv pulse tele sono vitals afeb igg iga igm ige sed sig dispo reqs lic zip rec med bili pedi
peds hosp fam tele cxr ekg hgb hct plt tmax tcurr tbili alk phos trop nihss cn bmp cbc dx hx rx tx sx fx px ddx appt
addendum etoh tob icu ecog karnofsky katz lawton montreal moca tinetti romberg
"""
_CLINICAL = """
abd adnexal afebrile ambulate ambulated ambulating ambulation anasarca aneurysmal angulated anteverted
anticoagulated anxiolytic aorto arousable asynclitism atraumatic auscultated auscultation autoimmune bandemia
bibasilar bimanual biopsied bolus bradycardic bruit bruits bunion cannulated carotids catheterized cath cautery
cephalad cholangitis claudication coags comorbidities conjunctiva conjunctivae contralateral cooccurring creatinine
crepitus curvilinear cyanotic debrided debridement decannulated deconditioning deoxygenated depressor desaturated
desaturation diaphoresis diaphoretic diuresed diuresis dorsum downgoing dyspneic dysuria ecchymoses edematous
effacement electrocautery enteral enteric eos epinephrine erythematous etiology eval extensor extraocular
extremities extubate extubated fasciculations febrile fiberoptic fossae fundi gastro glossopharyngeal gluteus
gravida guaiac guarding guidewire hallux hemodynamics hemostasis herniated hiatal hematochezia hemoglobin
hepatobiliary hilar homatropine hospitalist humeral hyperdynamic hypotonic icteric ideation idiopathic iliac ileus
impinging indurated infiltrate infiltrates insufflated interspace intubate intubated intravenous ipsilateral
ischemic jugular lidocaine ligated lucency lungs lymphocytes lymphs macules maxillary meconium medially menarche
meninges menisci mesenteric metatarsal midclavicular midline monos mottled mucosa mucosal mucus myocardium nares
nasogastric neurovascular nonicteric nontender nondistended normocephalic normotensive obtunded occluded ocular
oliguric opacities opacity optokinetic organomegaly orthopnea osteopenia osteopenic osteopenia otic oximetry
palpable palpated pancreas paranasal paresthesias patent pelvis perfusing perihilar periorbital peritoneum petechiae
photic photophobia phototherapy pigtail plantar platelets pneumoboots polys postauricular postop preop prandial
prodrome prolapse pulsatile purulent pupils quadrant radicular radiculopathy rales rebound reapproximated reflexes
regurgitation repleted resected retroflexed retroperitoneum rhonchi sacrum saphenous sclera sclerae scleral seatbelt
sedated sedation segs septal serous sinuses stable subchondral subcutaneous subcuticular subdural subq suctioned
supple supraspinatus synovial syncopal systolic tachycardic takedown thready thyroid tibial titrate titrated
tonsillar trabecular tracheostomy transaminitis transect trocar troponin turgor urethral uvula vagal varices
varicosities vasculature vasopressor vasopressors ventral vertebrae viscoelastic wheezing weaned wheezes zygoma
acetaminophen albumin aspirin atropine bacitracin bicarbonate bupivacaine caffeine calcium captopril carvedilol
cefazolin cefepime ceftriaxone chlorhexidine ciprofloxacin clopidogrel dexamethasone digoxin diltiazem dopamine
docusate enoxaparin famotidine fentanyl ferrous fluconazole furosemide gabapentin gentamicin glargine glipizide
guaifenesin haloperidol heparin hydralazine hydrochlorothiazide hydrocodone hydromorphone ibuprofen insulin
ipratropium ketorolac lactulose levetiracetam levothyroxine loperamide lorazepam magnesium mannitol meropenem
metformin methotrexate methylprednisolone metoclopramide metoprolol midazolam milrinone morphine multivitamin
naloxone nitroglycerin norepinephrine nystatin ondansetron oxycodone pantoprazole phenylephrine phenytoin
piperacillin potassium prednisone propofol quetiapine ranitidine rifampin risperidone senna sertraline simvastatin
tamoxifen tazobactam trazodone trimethoprim valproate vancomycin vasopressin verapamil persantine pitocin methergine
vigamox acular cyclogyl visipaque isovue tensilon lamisil cetaphil elavil chantix clozaril integrilin praziquantel
duramorph astramorph healon viscoat elastoplast opsite duoderm velcro coban kling dexon subq miostat latin swiss
filipino port-a-cath bipap cpap vas hgt wgt coord gyn bariatric methodist olympus pentax esmarch ochsner balfour
heaney
accutane palacos pepto bismol surg soma tec zonegran mestinon fiorinal proscar atarax macrodantin arava rapamune
dapsone alphagan sanctura carafate viokase probenecid taxol nevanac econopred mavik copaxone imuran provigil rozerem
angiomax elocon synvisc lovaza tarka pedialyte gatorade mevacor cylert avalide antivert pacerone minocin duraphen
daypro equagesic dilatrate primacor nicorette celestone protamine tobrex magnevist elisa indomethacin ferritin
entresto jardiance farxiga trelegy ozempic victoza trulicity rybelsus mounjaro wegovy tradjenta invokana toujeo
tresiba basaglar admelog apidra byetta bydureon prandin precose vimpat briviact fycompa onfi banzel sabril aptiom
xcopri latuda vraylar rexulti invega saphris fanapt vyvanse focalin intuniv belsomra pristiq trintellix viibryd
fetzima nardil parnate otezla xeljanz rinvoq stelara cosentyx taltz skyrizi tremfya simponi cimzia orencia actemra
kineret ocrevus tysabri gilenya aubagio tecfidera avonex betaseron rebif keytruda opdivo yervoy tecentriq imfinzi
avastin rituxan erbitux kadcyla perjeta ibrance verzenio kisqali tagrisso tarceva iressa lynparza zejula imbruvica
venclexta revlimid pomalyst velcade kyprolis darzalex zytiga xtandi casodex femara aromasin faslodex xeloda temodar
alimta abraxane taxotere gemzar adriamycin biktarvy genvoya descovy truvada atripla complera stribild triumeq tivicay
isentress prezista norvir kaletra reyataz epzicom combivir viread epivir ziagen harvoni epclusa mavyret sovaldi
brilinta effient pradaxa savaysa repatha praluent vascepa welchol ranexa corlanor multaq tikosyn betapace rythmol
tambocor edarbi tekturna breo anoro stiolto tudorza incruse dulera qvar arnuity asmanex alvesco xolair nucala dupixent
fasenra linzess amitiza trulance viberzi xifaxan dexilant myrbetriq vesicare toviaz enablex uroxatral rapaflo avodart
prolia evenity boniva forteo estrace vagifem mirena nexplanon paragard suboxone subutex vivitrol narcan zubsolv
nucynta opana butrans belbuca savella gralise pfizer moderna paxlovid remdesivir gardasil shingrix prevnar pneumovax
fluzone boostrix antabuse zyloprim diprivan avelox omnicef ceftin suprax levsin bentyl donnatal librax lomotil imitrex
maxalt relpax axert frova amerge nubain stadol talwin duramorph exparel amplatz judkins telfa glidewire glidewires
guidewires perclose starclose angioseal lahey malecot broviac permacath sinskey utrata drysdale senn adson freer
aufricht blakesley mcivor langenbeck deaver bookwalter hasson veress endopath endoloop surgidac polysorb caprosyn
tycron ethilon maxon biosyn mersilene marlex tisseel evicel floseal duraseal ommaya rickham depuy medtronics arthrex
alcon acrysof tecnis provisc indermil mastisol magill bougie perfix biopro caspari fahrenheit folstein achilles toldt
retzius treves gerdy cloquet camper waldeyer fick agatston uhthoff hippel lindau tillaux hoffa shimada agatston womac
dash oswestry bristol apache morse norton waterlow barthel zubrod epworth stopbang wong ambu ellik coude taxus cypher
xience vitrea polaroid chloraseptic betadine tegaderm mepilex aquacel hypafix bioclusive crystalloid crystalloids
dentition neurapraxia euthymic dysthymic punctate shotty ampullae prophy peritomy hydrodissection phaco plegic paretic
proprioception vibratory curettings heparinized chamfer phasic levophase pcp mac ptt hypogeusia xerostomia
nephrolithiasis laparoscopically subplatysmal mucoperichondrial handgrip neointimal injectate pyxis nebulizer
nebulizers auth emp hounsfield fleischner supv ingevity adm
hoehn yahr braxton hicks penrose groshong jamar bandl homan relig mgmt evera polst molst cert homebound calvert vanc
"""
TERMS = frozenset(_CLINICAL.split()) | frozenset(_TERMS.split()) | STATES | frozenset(MONTHS)
"""Eponyms, organisms, brands, makers, languages, peoples, countries: with a capital, and yet nobody's name."""

_ENDINGS = (
    ("ies", ("y",)), ("es", ("", "e")), ("s", ("",)), ("ed", ("", "e")), ("ing", ("", "e")), ("ly", ("",)),
    ("er", ("", "e")), ("ers", ("", "e")), ("ness", ("",)), ("ized", ("ize",)),
    ("al", ("", "e")), ("ist", ("", "y")), ("ity", ("", "e")), ("ic", ("", "y")),
)  # fmt: skip
_PREFIXES = re.compile(r"(?:non|pre|post|re|un|sub|multi|neo|ultra|super|visuo|psycho|electro|immuno|"
                       r"hyper|hypo|peri|para|retro|inter|intra|extra|trans|anti|micro|"
                       r"neuro|"
                       r"cardio|gastro|hemi|hemo|hepato|broncho|thoraco|laparo|supra|infra|antero|postero|naso|"
                       r"oro|endo)")  # fmt: skip
_MEDICAL = re.compile(
    r"\w{3,}(?:ectom(?:y|ies)|otom(?:y|ies)|ostom(?:y|ies)|oscop(?:y|e|ic)|itis|osis|oses|emi[ac]|uria|opath(?:y|"
    r"ic)|meter|"
    r"plast(?:y|ies)|graph(?:y|ic|s)?|grams?|olog(?:y|ist|ic|ical)|algia|plegi[ac]|megaly|lysis|lyzer|trop(?:ic|hy)|"
    r"ectasis|rrhage|rrhea|rrhaphy|centesis|cyt(?:es?|ic|osis)|pnea|pnoea|therapy|azole|olol|pril|sartan|statin|"
    r"mycin|"
    r"micin|cillin|floxacin|mab|tinib|parin|caine|zepam|zolam|dipine|prazole|setron|triptan|oxetine|azine|idine|"
    r"vir|arone|steride|purinol|cortisone|epin|benecid|buride|butynin|choline|ation|ulsion|ventricular|vascular|scopic|"
    r"olone|"
    r"asone|onide|cycline|platin|taxel|rubicin|formin|gliptin|gliflozin|thiazide|semide|phylline|terol|tropium|"
    r"lukast|"
    r"dronate|barbital|codone|morphone|profen|xaban|gatran|tide|amide|osterone|ysteine)"
)


@cache
def _lexicon() -> frozenset[str]:
    return _lists("lexicon.txt")["words"]


@lru_cache(1 << 16)
def is_common(word: str) -> bool:
    """Whether a lower-case word, or every part of a hyphenated one, is English or medical vocabulary."""
    if "-" in word:
        return all(len(part) < 3 or is_common(part) for part in word.split("-"))
    stems = _stems(word)
    if any(stem in _lexicon() for stem in stems) or _MEDICAL.fullmatch(word):
        return True
    if any(twice in _lexicon() for stem in stems[1:] if len(stem) > 5 for twice in _stems(stem)):
        return True  # reportedly, tenderness
    prefix = _PREFIXES.match(word)
    return prefix is not None and len(word) - prefix.end() > 3 and is_common(word[prefix.end() :])


def _stems(word: str) -> list[str]:
    """The word, and what it may be an inflection of."""
    ends = [(end, news) for end, news in _ENDINGS if word.endswith(end)]
    if len(word) < 6:
        ends = [(end, news) for end, news in ends if end not in ("al", "ic", "ist", "ity")]  # Bilal has no bile
    if word in GIVEN:
        ends = [(end, news) for end, news in ends if end not in ("al", "ic", "ist", "ity")]  # Jamal is no jam
    return [word, *(word[: -len(end)] + new for end, news in ends for new in news)]


@lru_cache(1 << 16)
def is_drug(word: str) -> bool:
    """Whether a lower-case word is a term of TERMS or built like the name of a drug or procedure."""
    return is_term(word) or _MEDICAL.fullmatch(word) is not None


@lru_cache(1 << 16)
def is_term(word: str) -> bool:
    """Whether a lower-case word is one of TERMS, or a hyphenated one has such a part ("swan-ganz")."""
    return word in TERMS or ("-" in word and any(part in TERMS for part in word.split("-")))


def is_calendar(word: str) -> bool:
    """Whether a lower-case word is a month, a weekday, or short for one."""
    return word[:3] in _CALENDAR and word in TERMS


@lru_cache(1 << 16)
def is_rare(word: str) -> bool:
    """Whether a lower-case word of at least three letters is none of vocabulary, term, frequent name or city."""
    return len(word) > 2 and not (is_common(word) or is_term(word) or word in GIVEN or word in FAMILY or word in TOWNS)
