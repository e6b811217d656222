import pytest

from taco.data_gen.programs.price_rows import find_row, plain, read_rows


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("MENU\nTea $4.50\nCake 3,20 €", [("Tea", "4.50"), ("Cake", "3.20")]),
        ("12 kr Rye Bread\n7 kr Tea", [("Rye Bread", "12"), ("Tea", "7")]),
        ("Tea 12 kr\nJam S4.50\nHam 3,20E", [("Tea", "12"), ("Jam", "4.50"), ("Ham", "3.20")]),
        ("Tea\n4.50\nCake 2", [("Tea", "4.50"), ("Cake", "2")]),
        ("Item Price\nTea .... £1.200", [("Tea", "1200")]),
        ("Tea 1.00 Jam 2.00", [("Tea", "1.00"), ("Jam", "2.00")]),
        ("Mon - Fri\nThank you", []),
    ],
)
def test_rows_are_read_as_they_are_printed(text: str, rows: list[tuple[str, str]]) -> None:
    assert [(row.name, row.price) for row in read_rows(text)] == rows


def test_plain_prices() -> None:
    assert [plain(text) for text in ("4,50", "12", "1.200", "1,200.50", "0.500")] == ["4.50", "12", "1200", "1200.50", "0.500"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [("green tea", "Green Tea"), ("Green Tee", "Green Tea"), ("GREENTEA", "Green Tea"), ("Coffee", None), ("", None)],
)
def test_a_row_is_found_by_a_name_misread_in_a_letter_and_by_no_other(asked: str, found: str | None) -> None:
    row = find_row(read_rows("Green Tea 4.50\nBlack Bread 3"), asked)
    assert (row and row.name) == found
    assert find_row([], asked) is None
