//! Markdown tables, aligned so that they also read well as plain text.

use std::fmt;

/// A table with a header; the first columns hold text and are left-aligned, the others numbers.
#[derive(Debug)]
pub struct Table {
    text_columns: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column titles, `text_columns` of which hold text, and no rows yet.
    #[must_use]
    pub fn new<const N: usize>(text_columns: usize, titles: [&str; N]) -> Self {
        Self { text_columns, rows: vec![titles.map(str::to_owned).to_vec()] }
    }

    /// Adds a row; missing cells stay empty.
    pub fn push<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column| self.rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0);
        (0..columns).map(|column| width(column).max(3)).collect()
    }

    fn write_row(&self, f: &mut fmt::Formatter<'_>, row: &[String], widths: &[usize]) -> fmt::Result {
        for (column, &width) in widths.iter().enumerate() {
            let text = cell(row, column);
            if column < self.text_columns {
                write!(f, "| {text:<width$} ")?;
            } else {
                write!(f, "| {text:>width$} ")?;
            }
        }
        writeln!(f, "|")
    }

    fn write_rule(&self, f: &mut fmt::Formatter<'_>, widths: &[usize]) -> fmt::Result {
        for (column, &width) in widths.iter().enumerate() {
            let end = if column < self.text_columns { '-' } else { ':' };
            write!(f, "| {}{end} ", "-".repeat(width - 1))?;
        }
        writeln!(f, "|")
    }
}

fn cell(row: &[String], column: usize) -> &str {
    row.get(column).map_or("", String::as_str)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for (index, row) in self.rows.iter().enumerate() {
            self.write_row(f, row, &widths)?;
            if index == 0 {
                self.write_rule(f, &widths)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn aligned_markdown() {
        let mut table = Table::new(1, ["server", "µs"]);
        table.push(["a".to_owned(), "12.5".to_owned()]);
        table.push(["b".to_owned()]);
        let expected = "| server |   µs |\n| ------ | ---: |\n| a      | 12.5 |\n| b      |      |\n";
        assert_eq!(table.to_string(), expected);
    }
}
