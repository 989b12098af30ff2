"""Names of people: runs of capitalised words that a title, a label, a credential, a relation or their rarity gives away.

A word that neither vocabulary nor terms know (`words`) is suspect by itself; a known word (Field, Rose, Price) needs a
cue. A name once found is found wherever its words occur again in the note.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from medray.text.phi.words import FAMILY, GIVEN, is_rare, is_term

_WORD = re.compile(r"(?<!\w)[^\W\d_]++(?:['’](?![sS]\b)[^\W\d_]++|-[^\W\d_]++)*+(?!\d)")
PERSON_VERB = re.compile(
    r" (?:is|was|has|had|slept|den(?:ies|ied)|reports?|reported|states|stated|tolerated|remains|remained|ambulat\w+|underwent|"
    r"received|presents|presented|continue[sd]|did|does|wants|aware|agrees|lives|works|will|helps|called|says|said|takes)\b"
)
LOWER_AFTER = re.compile(r"(?: (?:notified|aware|from|re|called|updated|paged|informed|in|at|and|for|on|saw|with|to|here|will|made)\b|['’]s|[,;)])")
PARTICLES = frozenset(
    "van von der den de la las los da di do dos das du del della le el al bin ben ibn abu ter ten zu st san santa".split()
)

TITLE = re.compile(
    r"(?<![\w.])(?<!\d )(?:drs?|mr|mrs|ms|mx|miss|prof|professor|doctor|rev|reverend|rabbi|father|sgt|sergeant|capt|"
    r"captain|officer|detective|judge|sir|madam|sister mary|dame|señora?|monsieur|madame)\b\.?[ \n]{1,2}(?=[^\W\d_])",
    re.I,
)
_BY = (
    r"dictated|signed(?: out)?|electronically signed(?: out)?|e-signed|transcribed|reviewed|read|performed|interpreted|authenticated|"
    r"verified|prepared|requested|ordered|referred|submitted|attested|cosigned|co-signed|entered|seen|approved|witnessed|confirmed|"
    r"reported|completed|written|recorded|administered|collected|received|electronically authenticated"
)
_ROLE = (
    r"attending|surgeon|assistant|anesthesiologist|anesthetist|physician|provider|doctor|resident|fellow|intern|nurse|"
    r"practitioner|therapist|technologist|technician|sonographer|radiologist|pathologist|cardiologist|oncologist|neurologist|"
    r"neonatologist|psychiatrist|psychologist|hospitalist|pediatrician|obstetrician|midwife|pharmacist|dietitian|"
    r"nutritionist|interpreter|translator|chaplain|social worker|case manager|manager|navigator|coordinator|liaison|"
    r"paramedic|emt|clerk|secretary|scribe|author|guarantor|insured|subscriber|policyholder|proxy|hcp|poa|"
    r"next of kin|nok|kin|emergency contact|contact|pcp|attn|cc|copy to|copies to|dear|aide|attorney|lawyer|employer|teacher|"
    r"principal|witness|agent|consultant|dentist|examiner|investigator|counselor|supervisor|md|rn|np|crna|"
    r"performing|operator|operators|primary|interviewer|informant|rt|cna|hha|student"
)
_RELATION = (
    r"(?:ex-|step|half-|great[- ]|grand)*(?:wife|husband|son|daughter|dtr|mother|mom|mum|father|dad|brother|sister|sibling|aunt|uncle|"
    r"niece|nephew|cousin|grandmother|grandfather|grandma|grandpa|grandson|granddaughter|partner|spouse|"
    r"fianc[eé]e?|girlfriend|boyfriend|friend|neighbou?r|roommate|caregiver|guardian|companion|parent|twin|landlord|"
    r"boss|coworker|colleague|mother-in-law|father-in-law|brother-in-law|sister-in-law|son-in-law|daughter-in-law)s?"
)
LABEL = re.compile(
    rf"(?<![\w-])(?:(?:(?:patient|pt|client|full|last|first|maiden|legal|preferred|mother|father)(?:'s)? ?)?names?|patients?|pt|client|member|"
    rf"re|baby (?:boy|girl)|(?:\w+ )?(?:{_ROLE})(?: (?:name|md|physician|provider|surgeon))?|{_RELATION}|(?:{_BY})(?: by)?)"
    r"(?:[ ]?(?:\([^)\n]{0,20}\))?[ \t]*(?::|\.{3,})[ \t]*|[ ](?=Dr))",
    re.I,
)
BARE_LABEL = re.compile(rf"(?<![\w-])(?:(?:{_BY})(?: by|,)|dear|attn|cc|goes by|known as|called|named|name is|signed|baby (?:boy|girl)|"
                         rf"signed out)[ ]{{1,3}}(?=[^\W\d_])", re.I)  # fmt: skip
NEAR = re.compile(
    rf"(?<![\w-])(?:(?P<person>(?:{_RELATION})(?: (?:is|was|named|called))?,?|(?:{_ROLE}),?)|"
    r"(?:with|w/|by|to|per|and|via|contact|called|call|paged|page|notified|informed|told|met|thank|thanks|"
    r"seeing|meeting|saw|evaluated|examined|both))(?:[ ]\((?:\w+ ){0,2}\w+\))?(?:[ ]{1,2}|\n)(?=[^\W\d_])",
    re.I,
)
CREDENTIAL = re.compile(
    r",?[ ]{1,2}(?:M\.?D\b\.?|D\.?O\b\.?|R\.?N\b\.?|N\.?P\b\.?|P\.?A\b(?:-C)?\.?|Ph\.?D\b\.?|LPN|LVN|CRNA|APRN|ARNP|ANP|FNP|NNP|PNP|CNM|MSW|LICSW|"
    r"LCSW|RDCS|RDMS|RVT|R\.?T\b(?:\(R\))?|RRT|Esq\b\.?|DDS|DMD|DPM|OD|PharmD|RPh|RD|LDN|DPT|PT|OTR(?:/L)?|OT|SLP|CNA|HHA|CCM|BSN|MSN|MPH|MBBS|"
    r"FACC|FACS|FACP|EMT(?:-P)?|PGY-?\d|MS[1-4]|CCRN|CRT|PCT|MA(?=\b(?! \d))|Jr\b\.?|Sr\b\.?)(?![\w'])"
)
ROLE_AFTER = re.compile(
    rf"(?:,? \(|, | is |, (?:his|her|their|the|our|an?) | \((?:his|her|their|the|our|an?|pt'?s|patient'?s) )(?:(?:his|her|the|pt'?s|patient'?s|icu|social|"
    rf"nurse|\w+) )?(?:{_ROLE}|{_RELATION})\b",
    re.I,
)
# Words that begin or follow a run of capitals without being part of the name.
STOP = frozenset(
    """
    the a an and or of for with by to from in on at is was are were has had he she they it his her him their this that
    these those there who will be been not no yes per re patient pt pts client family unknown none see seen signed
    dictated date time name unit mr mrs ms dr drs md rn do np pa phd esq sex dob mrn service attending admission
    discharge phone tel fax cell home work email address ssn age male female icu ed er or pacu micu sicu ccu nicu
    medicine surgery cardiology neurology oncology radiology pathology orthopedics psychiatry pediatrics neurosurgery
    urology gynecology obstetrics anesthesia anesthesiology gi renal id ent pulmonary hematology endocrinology dermatology
    office clinic hospital center team staff on call note report exam history plan assessment impression findings dear
    sincerely thank thanks we i you please if when after before then also left right both all any each your our my
    electronically approved transcribed acct account relationship contact am pm cc status post pre
    however although because since while during today yesterday tomorrow currently previously recently doctor nurse son
    daughter wife husband mother father brother sister followup follow up scheduled surgeon mrs hcp pcp attn
    aware notified states reports denies called calls says said wants aide speaking told asked present here back regarding
    discussed reviewed transcribed read performed interpreted verified prepared requested ordered referred submitted reported
    completed written recorded administered collected received entered witnessed confirmed operative procedure
    about again agrees agree came comes did does given gave recommends recommended updated saw sees
    """.split()
)
EPONYM_NOUN = re.compile(
    r"(?:['’]s)?[ -](?!(?:in|is|was|on|at|to|has|had|for|and|or|with|from|of|by|who|re)\b)(?:\w+ )?(?:disease|syndrome|sign|signs|catheter|line|drain|tube|procedure|test|maneuver|criteria|classification|"
    r"class|grade|scale|score|index|fracture|fx|lymphoma|sarcoma|tumou?r|dementia|palsy|phenomenon|contracture|cyst|esophagus|"
    r"thyroiditis|encephalopathy|respirations?|diverticul\w+|joint|point|triad|resection|bypass|stain|blade|retractors?|forceps|clamp|"
    r"needle|stent|valve|graft|suture|mesh|approach|technique|incision|position|dissector|rongeurs?|cage|method|biplane|network|"
    r"scissors|elevator|screws?|pins?|wires?|rods?|nail|plates?|system|device|pacemaker|implants?|lens|laser|balloon|sheath|trocar|"
    r"dressing|tablets?|capsules?|cream|ointment|inhaler|drops|solution|injection|insulin|gel|spray|patch|virus|bacteri\w+|species|"
    r"sp|spp|fever|anemia|ulcers?|nodes?|bodies|cells|reflex|reaction|operation|repair|sling|brace|cast|splint|collar|boot|"
    r"ligament|tendon|canal|duct|gland|fascia|fossa|space|membrane|pouch|loop|papules?|nodules?|rash|spots?|lines|rings?|hernia)\b",
    re.I,
)  # fmt: skip
DOSE_AFTER = re.compile(r"(?: (?:XR|XL|SR|ER|CR|HFA))? ?(?:\d[\d.,/-]* ?(?:mg|mcg|g|ml|cc|units?|meq|%|tab|puffs?|iu)\b|(?:p\.?o|iv|q\.?d|b\.?i\.?d|prn)\b)", re.I)


_SHAPE = re.compile(r"[^\W\d_](?:['’]|(?=[^\W\d_])[^A-Z])")  # Xu, N'Diaye, but neither BCx nor COPD


class Word(NamedTuple):
    """A word at characters [start, stop), as written and in lower case."""

    start: int
    stop: int
    text: str
    lower: str

    @property
    def is_capital(self) -> bool:
        """Whether it begins with a capital letter."""
        return self.text[0].isupper()

    @property
    def is_listed(self) -> bool:
        """Whether it, or a part of it, is a frequent name."""
        return any(part in GIVEN or part in FAMILY for part in (self.lower, *self.lower.split("-")))

    @property
    def is_suspect(self) -> bool:
        """Whether it is written like a name, and vocabulary does not know it."""
        return is_rare(self.lower) and (_SHAPE.match(self.text) is not None or (self.text.isupper() and len(self.text) > 4))

    @property
    def may_be_name(self) -> bool:
        """Whether a cue is enough to take it for a name."""
        return self.lower not in STOP and (self.is_listed or not is_term(self.lower))


def split_words(text: str) -> list[Word]:
    """The words of a text in order, possessive endings left out."""
    return [Word(*m.span(), m[0], m[0].lower()) for m in _WORD.finditer(text)]
