//! Tables as spreadsheets write them (RFC 4180): cells in quotes may hold separators, line breaks and doubled quotes.

/// Rows with the number of the line that each begins in, blank lines left out. All have as many cells as the first.
pub(crate) fn rows(text: &str, separator: char) -> Result<Vec<(usize, Vec<String>)>, String> {
    let mut rows: Vec<(usize, Vec<String>)> = Vec::new();
    let mut rest = text.chars().peekable();
    let mut line = 1;
    while rest.peek().is_some() {
        let (begin, mut cells) = (line, Vec::new());
        loop {
            let (cell, end) = cell(&mut rest, separator, &mut line)?;
            cells.push(cell);
            if end {
                break;
            }
        }
        if cells.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        if let Some((_, first)) = rows.first().filter(|(_, first)| first.len() != cells.len()) {
            let (found, expected) = (cells.len(), first.len());
            return Err(format!("line {begin} has {found} cells, the first line {expected}"));
        }
        rows.push((begin, cells));
    }
    Ok(rows)
}

/// The next cell, and whether its row ends with it.
fn cell(
    rest: &mut std::iter::Peekable<std::str::Chars>,
    separator: char,
    line: &mut usize,
) -> Result<(String, bool), String> {
    let mut cell = String::new();
    let begin = *line;
    let quoted = rest.next_if_eq(&'"').is_some();
    let mut open = quoted;
    loop {
        match rest.next() {
            Some('"') if open && rest.next_if_eq(&'"').is_some() => cell.push('"'),
            Some('"') if open => open = false,
            Some(c) if open => {
                *line += usize::from(c == '\n');
                cell.push(c);
            }
            None if open => return Err(format!("line {begin}: a quote is opened and not closed")),
            Some('\r') if rest.peek() == Some(&'\n') => {}
            Some('\n') => {
                *line += 1;
                return Ok((cell, true));
            }
            None => return Ok((cell, true)),
            Some(c) if c == separator => return Ok((cell, false)),
            Some(_) if quoted => {
                return Err(format!(
                    "line {line}: a cell goes on after its closing quote; double quotes within it"
                ));
            }
            Some(c) => cell.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::rows;

    #[test]
    fn cells_hold_what_quotes_let_them() {
        let found = rows("a,b\r\n\"x, \"\"y\"\"\n\",2\n\n , \n\"\",q\"q", ',');
        let row = |line, cells: [&str; 2]| (line, cells.map(str::to_owned).to_vec());
        assert_eq!(found, Ok(vec![row(1, ["a", "b"]), row(2, ["x, \"y\"\n", "2"]), row(6, ["", "q\"q"])]));
        assert_eq!(rows("a;b\n1,5;", ';'), Ok(vec![row(1, ["a", "b"]), row(2, ["1,5", ""])]));
        assert_eq!(rows("", ','), Ok(vec![]));
        for (text, said) in [
            ("a,b\n\"x\n,y", "line 2: a quote is opened and not closed"),
            ("a,b\n\"x\"y,z", "line 2: a cell goes on after its closing quote; double quotes within it"),
            ("a,b\nx", "line 2 has 1 cells, the first line 2"),
            ("a,b\n\"1\n2\",2\nx,y,z", "line 4 has 3 cells, the first line 2"),
        ] {
            assert_eq!(rows(text, ','), Err(said.to_owned()));
        }
    }
}
