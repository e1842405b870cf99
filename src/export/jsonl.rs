//! JSON Lines: an object a row, with all columns in their order. Must not know tables or where the bytes go.

use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Sink;
use super::table::{Cell, Column};

/// Writes a table.
pub(super) struct JsonLines<W> {
    out: W,
    columns: &'static [Column<'static>],
}

impl<W: Write> JsonLines<W> {
    pub(super) fn new(out: W, columns: &'static [Column<'static>]) -> JsonLines<W> {
        JsonLines { out, columns }
    }
}

impl<W: Write> Sink for JsonLines<W> {
    fn row(&mut self, row: &[Cell]) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, &Object(self.columns, row))?;
        self.out.write_all(b"\n")
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()
    }
}

struct Object<'a>(&'static [Column<'static>], &'a [Cell]);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (column, cell) in self.0.iter().zip(self.1) {
            map.serialize_entry(column.name, cell)?;
        }
        map.end()
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Cell::Null => to.serialize_unit(),
            Cell::Int(value) => to.serialize_i64(*value),
            Cell::UInt(value) => to.serialize_u64(*value),
            Cell::Real(value) => to.serialize_f64(*value),
            Cell::Bool(value) => to.serialize_bool(*value),
            Cell::Text(text) => to.serialize_str(text),
        }
    }
}
