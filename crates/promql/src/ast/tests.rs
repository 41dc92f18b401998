use super::*;

#[test]
fn an_expression_is_three_words() {
    assert_eq!(size_of::<Expr>(), 24);
}

#[test]
fn lines_and_columns_count_from_one() {
    let query = "sum(\n  foo\n)";
    let at = |start| PosRange::new(start, start).line_col(query);
    assert_eq!(at(0), Some((1, 1)));
    assert_eq!(at(4), Some((1, 5)));
    assert_eq!(at(5), Some((2, 1)));
    assert_eq!(at(7), Some((2, 3)));
    assert_eq!(at(12), Some((3, 2)));
    assert_eq!(at(13), None);
}
