"""What gives a name away: titles, labels, credentials, relations, and words that no vocabulary knows."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from medray.text.phi.words import FAMILY, GIVEN, is_rare, is_term

_WORD = re.compile(r"(?<!\w)[^\W\d_]++(?:['’](?![sS]\b)[^\W\d_]++|-[^\W\d_]++)*+(?!\d)")
PERSON_VERB = re.compile(
    r" (?:is|was|has|had|presents|presented|underwent|received|remains|remained|continue[sd]|did|does|called|"
    r"helps|tolerated|told|attended|attends|follows|calls|wrote|gave|left|stayed|took|went|cares|visits|answered|can)\b"
)
PERSON_ONLY_VERB = re.compile(
    r" (?:slept|den(?:ies|ied)|reports|reported|states|stated|wants|aware|agrees|agreed|lives|works|"
    r"will (?:visit|call|be|bring|come|pick|drive|take|stay|see|follow|help|return|fax|send|arrange)|says|said|"
    r"takes|ambulat\w+|enjoys|smokes|drinks|complains|return(?:s|ed)|declin(?:es|ed)|refus(?:es|ed)|"
    r"arrived?s?|posts|posted|came|"
    r"requests|requested|insists|favou?rs|recommends|advises|suggests|believes|prefers|asks|asked|"
    r"brought|drove|knows|likes|loves|walked|texted|emailed|wishes|worries|remembers|cried|"
    r"to (?:see|add|call|follow|review|arrange|discuss)|verbali[sz]e[sd]|thinks|feels|explained|"
    r"recall(?:s|ed)|told|wrote|answered|visits|phoned|retired|moved|married)\b"
)
AGED = re.compile(r" is an? (?:\w+ )?\d{1,3}[ -]?(?:y|m)", re.I)
AGED_AFTER = re.compile(
    r"(?:,? (?:(?:is |was )?an? )?\(?|,? \()\d{1,3}(?:[ -]?(?:years?\b|yrs?\b|y[./]?o\b|y\b)| ?[MF]\b)", re.I
)
"""How old the person is whose name stands before it."""
NO_NAME_AFTER = re.compile(
    r" \d{1,3}(?:[./]\d{1,3})?(?![\d/-])| (?:I{1,3}|IV|V)\b|:| (?:#|ID\b|No\b|no\.)|"
    r" (?=[A-Z]*\d)[A-Z0-9-]{3,}"
)
"""A figure or a colon after a rare word that no cue calls a name: a scale, a product, a heading."""
LOWER_AFTER = re.compile(
    r"(?: (?:notified|aware|from|re|called|updated|paged|informed|in|at|and|for|on|saw|with|to|here|will|made)\b|"
    r"['’]s|[,;)])"
)
PARTICLES = frozenset(
    "van von der den de la las los da di do dos das du del della le el al bin ben ibn abu ter ten st san santa".split()
)

TITLES = frozenset(
    "dr drs mr mrs ms mx miss prof professor doctor rev reverend rabbi pastor deacon imam judge sgt capt lt det ofc "
    "señor señora".split()
)
SIGNED = frozenset(
    """
    dictated signed e-signed transcribed reviewed read performed interpreted authenticated verified prepared
    requested ordered referred submitted attested cosigned co-signed entered seen approved witnessed confirmed
    reported completed written recorded administered collected received out
    """.split()
)
"""What stands before "by"."""
ROLES = frozenset(
    """
    attending surgeon assistant anesthesiologist anesthetist physician provider resident fellow intern nurse
    practitioner therapist technologist technician tech alias sonographer radiologist pathologist cardiologist
    oncologist neurologist neonatologist psychiatrist psychologist hospitalist pediatrician obstetrician midwife
    pharmacist dietitian nutritionist interpreter translator chaplain worker manager navigator coordinator liaison
    paramedic emt clerk secretary scribe author guarantor insured subscriber policyholder proxy hcp poa kin nok
    contact pcp aide attorney lawyer teacher principal witness agent consultant dentist examiner investigator
    counselor supervisor md rn np crna operator interviewer informant rt cna hha student officer crew sw ot slp lpn
    priest minister detective deputy trooper driver caller claimant employer tenant doula intake bailiff
    chaperone sitter volunteer phlebotomist medic scheduler registrar receptionist paralegal inmate detainee
    veteran presenter
    prescriber implanter rep representative carer spouse circulator perfusionist preceptor proceduralist endoscopist
    dispatcher toxicologist hygienist podiatrist optometrist geneticist nephrologist urologist gastroenterologist
    rheumatologist endocrinologist hematologist dermatologist ophthalmologist pulmonologist intensivist physiatrist
    gynecologist neurosurgeon orthopedist allergist hepatologist dictator typist owner manager bystander passenger
    """.split()
)
RELATIONS = frozenset(
    """
    kids children grandkids grandchildren granddaughters grandmothers aunts uncles cousins godmother godfather stepkids
    triplets triplet fosters grandparents wife husband son daughter dtr mother mom mum father dad brother sister
    sibling aunt uncle niece nephew cousin
    grandmother grandfather grandma grandpa grandson granddaughter partner spouse fiancé fiancée fiance fiancee
    ex girlfriend boyfriend friend neighbor neighbour roommate caregiver guardian companion parent twin landlord boss
    coworker colleague mother-in-law father-in-law brother-in-law sister-in-law son-in-law daughter-in-law stepson
    stepdaughter stepmother stepfather ex-wife ex-husband sons daughters brothers sisters siblings friends nieces
    nephews parents grandsons twins nana granny grandpa mama papa auntie great-grandmother great-grandfather great-aunt
    great-uncle half-brother half-sister step-mother step-father step-son step-daughter stepbrother stepsister
    """.split()
)
_OTHER_LABELS = (
    "name names patient patients pt client re by attn cc to dear boy girl performing primary team signature signatures "
    "anesthesia from sender recipient labeled labelled accepting sending member donor"
)
LABELS = ROLES | RELATIONS | frozenset(_OTHER_LABELS.split())
"""Last words of a label: a colon or dots after one of these, and then a name."""
BARE_LABELS = frozenset("dear attn cc signed called named name pt patient".split())
NEAR = frozenset(
    """
with by to per and via contact called call paged page notified informed told met thank thanks seeing meeting saw
evaluated examined both d/w w by from for told asked tell ask joined visited emailed texted phoned drove
""".split()
)
CLOSING = re.compile(
    r"\b(?:regards|sincerely|wishes|thanks|thank you|cordially|yours(?: truly)?|respectfully)[,.!]?[ \t]*\n\s{0,40}"
    r"(?=[^\W\d_])|\blabell?ed(?: as)?:? [\"“](?=[^\W\d_])",
    re.I,
)
"""The end of a letter, or of what stands on a label: a name follows."""
LOWER_NAME = re.compile(
    r"\b(?:md|dr|np|rn|MD|NP|RN|PA|Dr) (?P<v>[^\W\d_A-Z]{4,})\b|\b(?:md|rn|np|pa|RN|NP|"
    r"PA) (?P<x>[a-z][a-z'’-]+[a-z])(?= (?:in|at|for|here|notified|aware|called|paged|to|saw|updated|"
    r"on)\b)|[,.;] (?P<w>[^\W\d_A-Z][^\W\d_A-Z'’-]+[^\W\d_A-Z]) "
    r"(?:aware|notified|paged|informed|updated)\b"
)
"""A rare word without a capital that a hurried hand may have meant as a name."""
COLON = re.compile(r"(?:['’]s)?(?: ?\([^)\n]{0,20}\))?(?:[ \t]*(?::|\.{3,})[ \t]*|[ \t]{3,})(?=[^\W\d_])")
LINE_NAME = re.compile(r"[^\W\d_][\w'’. -]{1,24}, ?[^\W\d_]")
OF_SOMEBODY = re.compile(rf"['’]s (?:{'|'.join(sorted(RELATIONS, key=len, reverse=True))})\b")
LAST_INITIAL = re.compile(r" [A-Z](?:\.|(?= {2}|\n|[,;)]|$))")
SET_OFF = re.compile(r"['’]s\b|[,;:.)]| {2}|\n|$| (?:MD|RN|NP|PA|DO)\b")
"""What sets a word off as something that is named."""
ENDS = re.compile(r" {2}|\s*$|\n|[,;(.)]")
BLANK = re.compile(r"[ ]{1,3}(?=[^\W\d_])")
SHORT_NAME = re.compile(
    r"(?:Dr|Mr|Mrs|Ms|Miss|Prof)\.? (?P<v>Le|Van|Ben|Do|Di|Al|Lo|La|Da|De|Du|Ho|An)(?= [a-z(]|['’,.;:)\n]|$)"
)
"""A name as short as a particle, which nothing follows."""
TITLE_GAP = re.compile(r"\.?[ \n]{1,2}(?=[^\W\d_])")
NEAR_GAP = re.compile(
    r"(?:['’]s)?,?(?: (?:is|was|named|called))?(?: \((?:\w+ ){0,2}\w+\))?(?:[ ]{1,2}|"
    r"\n| \()(?=[^\W\d_])"
)
CREDENTIAL = re.compile(
    r",?[ ]{1,2}(?:M\.?D\b\.?|D\.?O\b\.?|R\.?N\b\.?|N\.?P\b\.?|P\.?A\b(?:-C)?\.?|Ph\.?D\b\.?|LPN|LVN|CRNA|APRN|"
    r"CMA|CDE|CGC|CNS|APN|COTA|PTA|LPC|LMFT|LMHC|LMSW|PsyD|EdD|DC|JD|FAAP|FACOG|FRCS|MRCP|"
    r"ARNP|ANP|FNP|NNP|PNP|CNM|MSW|LICSW|"
    r"LCSW|RDCS|RDMS|RVT|R\.?T\b(?:\(R\))?|RRT|Esq\b\.?|DDS|DMD|DPM|OD|PharmD|RPh|RD|LDN|DPT|PT|OTR(?:/L)?|OT|"
    r"SLP|CNA|HHA|CCM|BSN|MSN|MPH|MBBS|"
    r"FACC|FACS|FACP|EMT(?:-P)?|PGY-?\d|MS[1-4]|CCRN|CRT|PCT|MA(?=\b(?! \d))|rn|lpn|np|Jr\b\.?|Sr\b\.?)(?![\w'])"
)
ROLE_AFTER = re.compile(
    rf"(?:,? \(|, | is )(?:(?:his|her|their|the|our|an?|pt['’]?s|patient['’]?s) )?(?:\w+ )?"
    rf"(?:{'|'.join(sorted((ROLES | RELATIONS), key=len, reverse=True))})\b",
    re.I,
)
_AFTER_PARTICLE = re.compile(r"(?:al|el|ul|ad|de|d|van|von|ben|bin|ibn|abu)[-'’][A-Z]")
_INNER_CAPITAL = re.compile(
    r"(?:^|-)(?!(?:Mc|Mac|Del?|Della|D[aiu]|Des|L[ae]|Van|Von|Vander|Fitz|St|Al|El|Ben|Bin|Abu|Ibn|San)[A-Z])"
    r"[A-Z]?[a-z]+[A-Z]"
)
"""A brand (GelPort, StarClose), where it is none of the names that are written so (McAllister)."""
_BUILT = re.compile(r"-(?:type|like|negative|positive|coated|based|style|shaped|guided|assisted|induced|free)$", re.I)
NO_NAME_BEFORE = re.compile(
    r"\b(?:(?:an?|the|using|his|her|their|some|no|via|with an?)((?: [a-z][a-z-]*){0,2})|takes?|taking|tried|"
    r"started|stopped|continued?|prescribed|mg|on|of) $"
)
"""An article or the like not long before a word that no cue calls a name."""
ITEM = re.compile(r"(?:^|[\n,;] ?|\s)\d{1,2}[.)]\s{1,3}$")
# Words that begin or follow a run of capitals without being part of the name.
STOP = frozenset(
    """
    hi hello
    the a an and or of for with by to from in on at is was are were has had he she they it his her him their this
    that these those there who be been not no yes per re patient pt pts client family unknown none see seen
    signed dictated date time name unit mr mrs ms dr drs md rn do np pa phd esq sex dob mrn service attending
    admission discharge phone tel fax cell home work email address ssn age male female icu ed er or pacu micu sicu
    ccu nicu medicine surgery cardiology neurology oncology radiology pathology orthopedics psychiatry pediatrics
    neurosurgery urology gynecology obstetrics anesthesia anesthesiology gi renal id ent pulmonary hematology
    endocrinology dermatology office clinic hospital center team staff on call note report exam history plan
    assessment impression findings dear sincerely thank thanks we i you please if when after before then also left
    right both all any each your our my electronically approved transcribed acct account relationship contact am pm
    cc status post pre however although because since while during today yesterday tomorrow currently previously
    recently doctor nurse son daughter wife husband mother father brother sister followup follow up scheduled
    surgeon mrs hcp pcp attn aware notified states reports denies called calls says said wants aide speaking told
    asked present here back regarding discussed reviewed transcribed read performed interpreted verified prepared
    requested ordered referred submitted reported completed written recorded administered collected received entered
    department dept division section
    witnessed confirmed operative procedure mom dad baby infant boy girl man woman gentleman lady child someone
    everyone nobody about empl employer inmate claimant examinee caller again agrees agree came comes did does
    given gave recommends recommended updated saw sees
    """.split()
)
EPONYM_NOUN = re.compile(
    r"(?:['’]s)?[ -](?!(?:in|is|was|on|at|to|has|had|for|and|or|with|from|of|by|who|re)\b)(?:\w+ )?(?:disease|"
    r"syndrome|sign|signs|catheter|line|drain|tube|procedure|test|maneuver|criteria|classification|"
    r"class|grade|scale|score|index|fracture|fx|lymphoma|sarcoma|tumou?r|dementia|palsy|phenomenon|contracture|"
    r"cyst|esophagus|"
    r"thyroiditis|encephalopathy|respirations?|diverticul\w+|joint|point|triad|resection|bypass|stain|blade|"
    r"retractors?|forceps|clamp|"
    r"needle|stent|valve|graft|suture|mesh|approach|technique|incision|position|dissector|rongeurs?|cage|method|"
    r"biplane|network|"
    r"scissors|elevator|screws?|pins?|wires?|rods?|nail|plates?|system|device|pacemaker|implants?|lens|laser|"
    r"balloon|sheath|trocar|"
    r"dressing|tablets?|capsules?|cream|ointment|inhaler|drops|solution|injection|insulin|gel|spray|patch|virus|"
    r"bacteri\w+|species|"
    r"sp|spp|fever|anemia|ulcers?|nodes?|bodies|cells|reflex|reaction|operation|repair|sling|brace|cast|splint|"
    r"collar|boot|"
    r"ligament|tendon|canal|duct|gland|fascia|fossa|space|membrane|pouch|loop|papules?|nodules?|rash|spots?|"
    r"lines|rings?|hernia|lesions?|deformity|defects?|malformation|anomaly|angina|aphasia|nodule|amputation|"
    r"arthroplasty|osteotomy|fixation|block|flap|grafts?|stages?|staging|type|questionnaire|inventory|protocol|"
    r"regimen|formula|equation|rule|effect|murmur|plexus|ganglion|foramen|tubercle|band|bag|mask|walker|frame|boots|"
    r"stockings|inserts?|iud|hook|cup|cannula|splints?|punch|glue|pads?|gag|silk|closure|reservoir|dilators?|"
    r"osteotome|workstation|flaps|stitch|histology|holder|drainage|fragment|finder|gum|plug|cutter|port|ophthalmic|"
    r"knife|curettes?|probe|electrode|generator|catheters|contrast|agent|therapy|vaccine|antibod\w+|antigen|receptor|"
    r"gene|mutation|protein|enzyme|tip|prosthesis|company|pump|monitor|meter|supplement|diet|bandages?|"
    r"wraps?|shields?|scans?|"
    r"peak|nodule|surgery|exercises?|criterion|ratio)\b",
    re.I,
)  # fmt: skip
DOSE_AFTER = re.compile(
    r"(?: (?:XR|XL|SR|ER|CR|HFA))? ?(?:\d[\d.,/-]* ?(?:mg|mcg|g|ml|cc|units?|meq|%|tab|puffs?|iu)\b|(?:p\.?o|iv|"
    r"q\.?d|b\.?i\.?d|prn)\b)",
    re.I,
)


_SHAPE = re.compile(r"[^\W\d_](?:['’]|(?=[^\W\d_])[^A-Z])")  # Xu, N'Diaye, but neither BCx nor COPD


class Word(NamedTuple):
    """A word at characters [start, stop), as written and in lower case."""

    start: int
    stop: int
    text: str
    lower: str
    is_capital: bool
    """Whether it begins with a capital letter."""

    @property
    def is_listed(self) -> bool:
        """Whether it, or a part of it, is a frequent name."""
        return _is_listed(self.lower)

    @property
    def is_suspect(self) -> bool:
        """Whether it is written like a name, and vocabulary does not know it."""
        return self.is_capital and is_suspect(self.text)

    @property
    def may_be_name(self) -> bool:
        """Whether a cue is enough to take it for a name."""
        return not self.is_stop and (_is_listed(self.lower) or not is_term(self.lower))

    @property
    def is_stop(self) -> bool:
        """Whether it ends a name, or stands before one: a role, a title, a word of the note's frame."""
        if self.text == "Ed":
            return False  # the ED is written otherwise
        return self.lower in STOP or self.lower in ROLES or self.lower in TITLES


@lru_cache(1 << 16)
def _is_listed(lower: str) -> bool:
    return any(part in GIVEN or part in FAMILY for part in (lower, *lower.split("-")))


@lru_cache(1 << 16)
def is_suspect(text: str) -> bool:
    """Whether a word is written like a name (no abbreviation), and neither vocabulary nor lists know it."""
    return (
        is_rare(text.lower())
        and not _INNER_CAPITAL.search(text)
        and not _BUILT.search(text)
        and not any(map(str.isdigit, text))
        and (_SHAPE.match(text) is not None or (text.isupper() and len(text) > 4))
    )


def split_words(text: str) -> list[Word]:
    """The words of a text in order, possessive endings left out; what touches a digit is none."""
    return [
        Word(*m.span(), w := m[0], w.lower(), w[0].isupper() or _AFTER_PARTICLE.match(w) is not None)
        for m in _WORD.finditer(text)
    ]
