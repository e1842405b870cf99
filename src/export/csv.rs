//! CSV as RFC 4180 has it: UTF-8, a header, lines that end with CR LF.
//!
//! Written here because null and empty text differ: null is an empty field, empty text a quoted one (`""`). Libraries
//! that write CSV quote by a rule for all fields of a file. Must not know tables or where the bytes go.

use std::io::{self, Write};

use super::Sink;
use super::table::{Cell, Column};

/// Writes a table.
pub(super) struct Csv<W> {
    out: W,
    line: String,
}

impl<W: Write> Csv<W> {
    pub(super) fn new(mut out: W, columns: &[Column<'_>]) -> io::Result<Csv<W>> {
        let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
        out.write_all((names.join(",") + "\r\n").as_bytes())?;
        let line = String::new();
        Ok(Csv { out, line })
    }
}

impl<W: Write> Sink for Csv<W> {
    fn row(&mut self, row: &[Cell]) -> io::Result<()> {
        self.line.clear();
        for (index, cell) in row.iter().enumerate() {
            if index > 0 {
                self.line.push(',');
            }
            field(&mut self.line, cell);
        }
        self.line.push_str("\r\n");
        self.out.write_all(self.line.as_bytes())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()
    }
}

fn field(line: &mut String, cell: &Cell) {
    match cell {
        Cell::Null => {}
        Cell::Int(value) => line.push_str(&value.to_string()),
        Cell::UInt(value) => line.push_str(&value.to_string()),
        // The shortest digits that come back as the same number.
        Cell::Real(value) => line.push_str(&format!("{value:?}")),
        Cell::Bool(value) => line.push_str(&value.to_string()),
        Cell::Text(text) if text.is_empty() || text.contains(['"', ',', '\r', '\n']) => {
            line.push('"');
            line.push_str(&text.replace('"', "\"\""));
            line.push('"');
        }
        Cell::Text(text) => line.push_str(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::table::{Kind, column};
    use proptest::prelude::*;

    fn written(rows: &[Vec<Cell>]) -> Vec<u8> {
        let columns = [
            column("a", Kind::Text, "", ""),
            column("b", Kind::Text, "", ""),
        ];
        let mut bytes = Vec::new();
        let mut csv = Csv::new(&mut bytes, &columns).expect("memory");
        for row in rows {
            csv.row(row).expect("memory");
        }
        Box::new(csv).finish().expect("memory");
        bytes
    }

    #[test]
    fn null_and_empty_text_differ_and_quotes_are_doubled() {
        let rows = [
            vec![Cell::Null, Cell::text("")],
            vec![Cell::Real(1.0), Cell::text("{\"a\": \"b,c\"}\n")],
        ];
        assert_eq!(
            String::from_utf8(written(&rows)).expect("UTF-8"),
            "a,b\r\n,\"\"\r\n1.0,\"{\"\"a\"\": \"\"b,c\"\"}\n\"\r\n"
        );
    }

    proptest! {
        #[test]
        fn another_reader_reads_what_was_written(texts in prop::collection::vec((any::<String>(), any::<f64>()), 0..20)) {
            let rows: Vec<Vec<Cell>> = texts
                .iter()
                .map(|(text, number)| vec![Cell::text(text), Cell::Real(*number)])
                .collect();
            let bytes = written(&rows);
            let mut reader = csv::Reader::from_reader(&bytes[..]);
            let read: Vec<(String, f64)> =
                reader.deserialize().collect::<Result<_, _>>().expect("CSV");
            prop_assert_eq!(read.len(), texts.len());
            for ((text, number), (then, was)) in read.iter().zip(&texts) {
                prop_assert_eq!(text, then);
                prop_assert!(number.to_bits() == was.to_bits() || (number.is_nan() && was.is_nan()));
            }
        }
    }
}
