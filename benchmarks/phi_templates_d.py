"""Template set "d" of the invented notes: written when set "c" had been measured, with set c's cast; held out."""

from __future__ import annotations

from benchmarks.phi_templates_c import FACILITIES, FAMILY, GIVEN, STREETS, TOWNS

__all__ = ["FACILITIES", "FAMILY", "GIVEN", "NOTES", "STREETS", "TOWNS"]

NOTES = (
    # urgent care visit
    """URGENT CARE VISIT {date.us_mixed}
{pt.FULL}, {age.old}-year-old female, MR# {no.mrn}, insurance member number {no.plan}.
She twisted her ankle on {date.md} while visiting {place.town} with her daughter {dau.full}. She was first seen at
{place.facility}, where films
were read as negative. Her regular doctor is {pcp.full}. Neighbor {nb.first} drove her. She has {not.eponym} and
takes {not.dose}.
{not.vital}. Exam: {not.fraction}. Films from {date.us_short} reviewed with Dr. {rad.last}. {not.anatomy} on old
study of {date.month_year}.
Wrapped. Crutches (serial {no.serial}). Follow up with {ortho.full}, MD, on {date.month_day}; phone {no.phone}. Fax
to {no.fax}.
Home address: {place.street}, {place.town}, {place.st} {place.zip}. Email {no.email}. Account number: {no.account}.
{pa.full}, PA-C      DEA {no.dea}
""",
    # research coordinator note
    """RESEARCH NOTE. Study ID: {no.study}. Date: {date.abbr}. Coordinator: {coord.full}.
Participant {pt.full} signed consent on {date.dmy}, witnessed by her brother {bro.first}. Screening labs: {not.lab};
{not.lab}. {not.gene} positive.
She lives in {place.county} and travels from {place.town} by bus. Visit 2 is due {date.month_day_th}. Stipend check
sent to {place.box}, {place.town}.
Phone (cell): {no.phone}; SSN for payment: {no.ssn}. Portal {no.url}, login from {no.ip}. Wearable device serial no.
{no.serial}. Plate for parking: {no.plate}.
Principal investigator: {pi.full}, MD, license # {no.licence}. Sample accession {no.accession}. {not.month}.
Insurance ID: {no.plan}.
Adverse events: {not.eponym}, resolved {date.us_short}. Discussed with monitor {mon.full} on {date.iso}. Oldest
enrolled participant is {age.old} years old.
""",
    # hospice nursing
    """HOSPICE RN VISIT {date.long}. Patient {pt.first} {pt.last}, age {age.old}, chart number {no.mrn}. Spouse
{sp.full} present with grandson {gs.first} and
granddaughter {gd.first}. Patient resting, {not.vital}. {not.dose} given at 0900. {not.device} patent. Chaplain
{chap.full} visited {date.md}. Daughter {dau.first}
flies in from {place.town} on {date.abbr_day}. Dr. {md.last} renewed {not.dose}. DNR signed {date.us}. Funeral home:
call {no.phone}. Pharmacy fax: {no.fax}.
Equipment: oxygen concentrator S/N {no.serial}. Medicare ID {no.plan}. Home at {place.apt} in {place.town}.
{not.time}. {not.fraction}.
Mrs. {pt.last} asks for her sister {sis.full} of {place.town}, {place.state}. Next visit {date.dash} by {aide.full},
CNA.
Billing account {no.account}. Nurse: {rn.full}, RN, badge no. {no.badge}, license no. {no.licence}. Web chart
{no.url}; IP {no.ip}; {no.email}
Car of family: plate {no.plate}. SSN {no.ssn}.
""",
)  # fmt: skip
