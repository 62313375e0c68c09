"""Labels as hospitals write them, each with what a pathologist reads; docs/reference/labels.md shows them."""

from typing import NamedTuple


class Spelling(NamedTuple):
    """A cell and its reading.

    Attributes:
        cell: as it stands in the table.
        label: positive, negative or missing; unreadable: it is a problem too.
        low: of ER and PR whether it is low-positive, of HER2 whether it is low or more; "": not known.
        among: other cells of its column, where they decide.
    """

    cell: str
    label: str
    low: str = ""
    among: tuple[str, ...] = ()


HORMONE = (
    Spelling("+", "positive"),
    Spelling("-", "negative", "no"),
    *(Spelling(cell, "unreadable", among=("0", "1")) for cell in ("0\u00b9", "01")),  # of a footnote
    Spelling("pos", "positive"),
    Spelling("Positive", "positive"),
    Spelling("neg.", "negative", "no"),
    Spelling("ER-negative", "negative", "no"),
    Spelling("TRUE", "positive"),
    Spelling("no", "negative", "no"),
    Spelling("no stained tumor cells", "negative", "no"),
    *(Spelling(f"no {what}", "unreadable") for what in ("tumor", "tumour cells", "IHC", "receptor status")),
    Spelling("IHC absent", "unreadable"),
    Spelling("+ +", "positive"),
    Spelling("1", "positive", among=("0", "unknown")),
    Spelling("0", "negative", "no", among=("1",)),
    Spelling("+++", "positive"),
    Spelling("90 %", "positive", "no"),
    Spelling(".5 %", "negative", "no"),
    Spelling("< .5 %", "negative", "no"),
    Spelling(".00", "negative", "no", among=("1.00",)),
    Spelling(",00", "negative", "no", among=("1,00",)),
    Spelling("90", "positive", "no", among=("0", "5", "100")),
    Spelling("5", "positive", "yes", among=("0", "90")),
    Spelling("5", "positive", among=("7", "Allred 8")),
    Spelling("2", "negative", "no", among=("7", "Allred 8")),
    Spelling("<1%", "negative", "no"),
    Spelling("0,5 %", "negative", "no"),
    Spelling("1 %", "positive", "yes"),
    Spelling("1\u201310 %", "positive", "yes"),
    Spelling("5 to 20 %", "positive"),
    Spelling("\u2265 1 %", "positive"),
    Spelling("> 10 %", "positive", "no"),
    Spelling("low positive", "positive", "yes"),
    Spelling("positive (8 %, weak)", "positive", "yes"),
    Spelling("Allred 5", "positive"),
    Spelling("Allred: 2/8", "negative", "no"),
    Spelling("7/8", "positive"),
    Spelling("H-score 120", "positive"),
    Spelling("0/300", "negative", "no"),
    Spelling("positiv", "positive"),
    Spelling("Östrogenrezeptor negativ", "negative", "no"),
    Spelling("90 Prozent der Tumorzellen, stark", "positive", "no"),
    Spelling("IRS 8/12", "positive"),
    Spelling("IRS 0", "negative", "no"),
    Spelling("nicht bestimmt", "missing"),
    Spelling("k. A.", "missing"),
    Spelling("equivocal", "missing"),
    Spelling("not done", "missing"),
    Spelling("n/a", "missing"),
    Spelling("unknown", "missing"),
    Spelling("pending", "missing"),
    Spelling("", "missing"),
    Spelling("< 5 %", "unreadable"),
    Spelling("0-1 %", "unreadable"),
    Spelling("negative (5 %)", "unreadable"),
    Spelling("H-score 5", "unreadable"),
    Spelling("IRS 2", "unreadable"),
    Spelling("Allred 1", "unreadable"),
    Spelling("120 %", "unreadable"),
    Spelling("8/12", "unreadable"),
    Spelling("strong", "unreadable"),
    Spelling("2026-05-08", "unreadable"),
    Spelling("+/-", "unreadable"),
)
HER2 = (
    Spelling("+", "positive", "yes"),
    Spelling("-", "negative"),
    Spelling("negative", "negative"),
    Spelling("1", "positive", "yes", among=("0",)),
    Spelling("1", "negative", "yes", among=("0", "2", "3")),
    Spelling("1", "negative", "yes", among=("0", "2; ISH amplified", "3")),
    Spelling("1; ISH not amplified", "unreadable", among=("0",)),
    Spelling("+", "negative", "yes", among=("-", "++", "+++")),
    Spelling("-", "negative", "no", among=("+", "++", "+++")),
    Spelling("0", "negative", "no", among=("1+", "3+")),
    Spelling("IHC 0", "negative", "no"),
    Spelling("1+", "negative", "yes"),
    Spelling("3+", "positive", "yes"),
    Spelling("+++", "positive", "yes"),
    Spelling("2+", "missing", "yes"),
    Spelling("+ +", "missing", "yes", among=("+", "+++")),
    Spelling("+ + +", "positive", "yes", among=("+", "++")),
    Spelling("2+ (equivocal)", "missing", "yes"),
    Spelling("2+ FISH pending", "missing", "yes"),
    Spelling("2+ FISH+", "positive", "yes"),
    Spelling("2+ FISH-", "negative", "yes"),
    Spelling("IHC 2+ / ISH not amplified", "negative", "yes"),
    Spelling("2+ equivocal, SISH positive", "positive", "yes"),
    Spelling("2+; ISH non-amplified", "negative", "yes"),
    Spelling("3+ FISH-", "positive", "yes"),
    Spelling("amplified", "positive", "yes"),
    Spelling("not amplified", "negative"),
    Spelling("positive by FISH", "positive", "yes"),
    Spelling("HER2-low", "negative", "yes"),
    Spelling("low (1+)", "negative", "yes"),
    Spelling("ultra-low", "negative", "no"),
    Spelling("0-1+", "negative"),
    Spelling("equivocal", "missing"),
    Spelling("not performed", "missing"),
    Spelling("2-3+", "unreadable"),
    Spelling("3+ negative", "unreadable"),
    Spelling("2+ negative", "unreadable"),
    Spelling("4+", "unreadable"),
    Spelling("2+ (FISH nicht amplifiziert)", "negative", "yes"),
    Spelling("ratio 2.3", "positive", "yes"),
    Spelling("2+ FISH ratio 1,4", "negative", "yes"),
    Spelling("2+; ISH 1.1", "negative", "yes"),
    Spelling("2+; ISH 6.5", "positive", "yes"),
    Spelling("2+; ISH 2.3", "unreadable"),
    Spelling("HER2/CEP17 1.1, 3.2 copies", "negative"),
    Spelling("FISH ratio 2.3, copies 5.1", "positive", "yes"),
    Spelling("2+; ISH 5.1 copies/cell, 2.6 ratio", "positive", "yes"),
    Spelling("2+; ISH ratio 2.4; ISH copies 3.2", "negative", "yes"),
    Spelling("2+; ISH ratio 1.7; ISH copies 6.2", "positive", "yes"),
    Spelling("1+; ISH ratio 1.7; ISH copies 6.2", "negative", "yes"),
    Spelling("2+; ISH ratio 1.6; ISH copies 5.1", "negative", "yes"),
    Spelling("FISH ratio 1.6, copies 5.1", "unreadable"),
    Spelling("FISH: HER2 copies 6.2, CEP17 3.5, ratio 1.77; IHC 2+", "positive", "yes"),
    Spelling("CISH 6.4 copies", "positive", "yes"),
    Spelling("CISH 4.5 copies", "unreadable"),
    Spelling("FISH ratio > 2.0", "positive", "yes"),
    Spelling("FISH ratio < 2.2", "unreadable"),
    Spelling("2+ FISH not amplified, ratio 2.3", "unreadable"),
    Spelling("2+ FISH 1", "unreadable"),
    Spelling("FISH ratio 2023", "unreadable"),
)
# Columns whose numbers or signs have two meanings, and cells that the message names.
TWO_MEANINGS = {
    "ER": (
        *(("2", "5", "8"), ("90", "5", "Allred 7"), ("0.9", "1"), ("0", "120"), ("90", "H-score 120")),
        *(("0", "+", "-"), ("6", "0", "4", "12"), ("9", "1", "2"), ("99", "+", "-")),
    ),
    "HER2": (
        *(("1", "3+", "positive"), ("+", "++", "negative"), ("0", "positive", "negative")),
        ("1", "0", "2; ISH amplified"),
    ),
}
