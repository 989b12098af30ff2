"""Numbers, codes and addresses of the invented notes: for each slot's form its kind and the shapes it may have.

In a shape # is a digit, ! one from 1, ? one from 2, @ a capital, ~ a small letter; <name>, <domain> and <octet> are
what they say.
"""

from __future__ import annotations

# fmt: off
_PHONES = [
    "(?##) ?##-####", "?##-?##-####", "?##.?##.####", "(?##)?##-####", "+1 ?## ?## ####", "1-?##-?##-####",
    "?## ?## ####", "+1 (?##) ?##-####",
]
CODES: dict[str, tuple[str, list[str]]] = {
    "phone": ("phone", _PHONES),
    "phone7": ("phone", ["?##-####"]),
    "pager": ("phone", ["!####", "!###"]),
    "ext": ("phone", ["!###", "!####"]),
    "phone_intl": ("phone", ["+44 20 !### !###", "+91 !#### !####", "+49 30 !######"]),
    "fax": ("fax", _PHONES[:5]),
    "email": ("email", ["<name>!#@<domain>", "~.<name>@<domain>", "<name>_!###@<domain>"]),
    "ssn": ("ssn", ["!##-##-!###"]),
    "ssn_plain": ("ssn", ["!########", "!## ## !###"]),
    "ssn4": ("ssn", ["!###"]),
    "mrn": ("medical_record", ["!######", "!#######", "!##-!#-!#", "@!######", "!#-!#-!#", "@@!#####"]),
    "plan": ("health_plan", ["@@@!########", "!EG4-TE!-MK!#", "!########@", "@@-!#######", "!#########"]),
    "account": ("account", ["!########", "!#########", "!###-!###-!###-!###", "@!########", "!#####-!##"]),
    "dea": ("licence", ["@@!######"]),
    "npi": ("licence", ["1!########"]),
    "licence": ("licence", ["@!####", "@@-!#####", "!#####", "@!#######"]),
    "vin": ("vehicle", ["1@@BH41@XMN!#####"]),
    "plate": ("vehicle", ["!@@@!##", "@@@-!###", "@@@ !##", "!## @@@"]),
    "serial": ("device", ["SN-!######", "@@@!#####@", "!########", "@@!###-!##"]),
    "udi": ("device", ["(01)0!############(21)@!#####"]),
    "url": ("url", [
        "https://<domain>/p/<name>", "www.<domain>/patients/!###", "http://<name>.<domain>", "<domain>/<name>",
    ]),
    "ip": ("ip", ["10.<octet>.<octet>.<octet>", "<octet>.<octet>.<octet>.<octet>"]),
    "ipv6": ("ip", ["2001:db8:!###::!#", "fe80::!###:a!#:!###:c!"]),
    "study": ("other", ["@@@-!###", "@@@@!##", "@@-!##-!###"]),
    "badge": ("other", ["!####", "@!###", "!###"]),
    "accession": ("other", ["!#######", "@!#-!####", "@@!#######", "!#-@@-!#####"]),
    "job": ("other", ["!#####", "!######"]),
}
