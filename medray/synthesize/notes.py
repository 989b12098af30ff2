"""Synthetic clinical notes drawn from disease profiles: invented patients, no names, dates or places.

Each phenotype is present with the fraction of patients the annotations give; some told but absent ones are denied.
"""

from __future__ import annotations

from medray.core.identity import stable_hash
from medray.synthesize.annotations import Disease
from medray.synthesize.documents import Writer, told_phenotypes
from medray.text.phrases import joined, sentence_start

_MALE_GENITALIA, _FEMALE_GENITALIA = "HP:0010461", "HP:0010460"
_UNKNOWN_FRACTION = 0.3
_MIN_PRESENT = 3
_MAX_DENIED = 2
# Denying these gives a double negative ("no absent speech").
_NEGATIVE_WORDS = ("absent", "lack", "no ", "non", "decreased", "reduced", "loss", "unusual")

_NOTE_FORMS = (
    "Clinic visit. {Patient} was seen for follow-up. Findings: {first}. {more}{denied}"
    "Assessment: {name}. Plan: {plan}.",
    "Discharge summary. {Patient} was admitted for investigation. On examination there was {first}. {more}{denied}"
    "Discharge diagnosis: {name}. {Plan}.",
    "Reason for referral: {first} in {patient}. {more}{denied}Impression: the findings fit {name}. Next: {plan}.",
    "History: {patient} with {first}. {more}{denied}The working diagnosis is {name}. {Plan}.",
)
_MORE_FORMS = ("Also noted: {}. ", "The patient also had {}. ", "Further findings were {}. ")
_DENIED_FORMS = ("There was no {}. ", "No {} was found. ", "The patient had no {}. ")
_PLANS = (
    "genetic counselling and review in six months",
    "referral to a specialist clinic",
    "supportive treatment and yearly review",
    "further imaging and a review of the results",
    "review by the multidisciplinary team",
)


def note_text(writer: Writer, disease: Disease, limit: int) -> str:
    """A clinic note or discharge summary of one invented patient with the disease, which it names once."""
    present, absent = _drawn_phenotypes(writer, disease, limit)
    age, sex = _patient(writer, disease, present)
    patient = f"a {age}-year-old {sex}" if age not in (8, 11, 18) else f"an {age}-year-old {sex}"
    names = [writer.phenotype(term_id) for term_id in present]
    denied = [writer.phenotype(term_id) for term_id in absent]
    plan = writer.pick(_PLANS, "plan", disease.id)
    more = writer.pick(_MORE_FORMS, "more", disease.id).format(joined(names[3:])) if len(names) > 3 else ""
    no = writer.pick(_DENIED_FORMS, "denied", disease.id).format(joined(denied, "or")) if denied else ""
    return writer.pick(_NOTE_FORMS, "note", disease.id).format(
        patient=patient, Patient=sentence_start(patient), first=joined(names[:3]), more=more, denied=no,
        name=writer.inside(disease.name), plan=plan, Plan=sentence_start(plan),
    )  # fmt: skip


def _drawn_phenotypes(writer: Writer, disease: Disease, limit: int) -> tuple[list[str], list[str]]:
    """Term ids present in the invented patient, and up to 2 that are denied."""
    told = told_phenotypes(writer.ontology, disease, limit)

    def draw(term_id: str) -> float:
        return stable_hash("present", writer.rng_seed, disease.id, term_id) / 2**64

    present = [t for t, fraction in told if draw(t) < (_UNKNOWN_FRACTION if fraction is None else fraction)]
    present += [t for t, _ in told if t not in present][: max(0, _MIN_PRESENT - len(present))]
    absent = [t for t, _ in told if t not in present]
    deniable = [t for t in absent if not writer.phenotype(t).lower().startswith(_NEGATIVE_WORDS)]
    return present, deniable[:_MAX_DENIED]


def _patient(writer: Writer, disease: Disease, present: list[str]) -> tuple[int, str]:
    """Invented age in years and sex; the sex fits findings of the genitalia."""
    above = frozenset().union(*(writer.ontology.ancestors(term_id) for term_id in present))
    chance = stable_hash("patient", writer.rng_seed, disease.id)
    female = chance % 2 == 0
    if (_MALE_GENITALIA in above) != (_FEMALE_GENITALIA in above):
        female = _FEMALE_GENITALIA in above
    age = 3 + chance // 2 % 38
    return age, ("girl" if female else "boy") if age < 16 else ("woman" if female else "man")
