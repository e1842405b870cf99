//! Parquet: plain columns, nulls where a column has them, Snappy, row groups of bounded size.
//!
//! Without Arrow: a table is written column by column from buffers of one row group, so that a recording of any length
//! needs the memory of one group. Must not know tables or where the bytes go.

use std::io::{self, Write};
use std::mem::take;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use super::Sink;
use super::table::{Cell, Column, Kind};

/// Rows of a row group at most.
const GROUP_ROWS: usize = 64 * 1024;
/// Bytes of text of a row group at most, but for the row that goes over.
const GROUP_BYTES: usize = 16 * 1024 * 1024;

/// Writes a table.
pub(super) struct Parquet<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    buffers: Vec<Buffer>,
    rows: usize,
    bytes: usize,
}

/// The cells of one column in the row group that is being filled.
struct Buffer {
    /// For each row 1, or 0 where it is null; not kept for columns without nulls.
    levels: Option<Vec<i16>>,
    values: Values,
}

enum Values {
    Int(Vec<i64>),
    Real(Vec<f64>),
    Bool(Vec<bool>),
    Text(Vec<ByteArray>),
}

impl<W: Write + Send> Parquet<W> {
    pub(super) fn new(
        out: W,
        name: &str,
        doc: &str,
        columns: &[Column<'_>],
    ) -> io::Result<Parquet<W>> {
        let fields = columns.iter().map(field);
        let schema = Type::group_type_builder(name)
            .with_fields(fields.collect::<Result<_, _>>().map_err(wrong)?)
            .build()
            .map_err(wrong)?;
        let words = vec![
            KeyValue::new("formicarium.table".to_owned(), doc.to_owned()),
            KeyValue::new("formicarium.columns".to_owned(), columns_json(columns)),
        ];
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_key_value_metadata(Some(words))
            .build();
        let writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties));
        Ok(Parquet {
            writer: writer.map_err(wrong)?,
            buffers: columns.iter().map(Buffer::new).collect(),
            rows: 0,
            bytes: 0,
        })
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        for buffer in &mut self.buffers {
            buffer.write(&mut group)?;
        }
        group.close()?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

impl<W: Write + Send> Sink for Parquet<W> {
    fn row(&mut self, row: &[Cell]) -> io::Result<()> {
        for (buffer, cell) in self.buffers.iter_mut().zip(row) {
            if let Cell::Text(text) = cell {
                self.bytes += text.len();
            }
            buffer.push(cell);
        }
        self.rows += 1;
        if self.rows >= GROUP_ROWS || self.bytes >= GROUP_BYTES {
            self.write_group().map_err(wrong)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        if self.rows > 0 {
            self.write_group().map_err(wrong)?;
        }
        let mut out = self.writer.into_inner().map_err(wrong)?;
        out.flush()
    }
}

impl Buffer {
    fn new(column: &Column<'_>) -> Buffer {
        Buffer {
            levels: column.nullable.then(Vec::new),
            values: match column.kind {
                Kind::Int | Kind::UInt => Values::Int(Vec::new()),
                Kind::Real => Values::Real(Vec::new()),
                Kind::Bool => Values::Bool(Vec::new()),
                Kind::Text | Kind::Json => Values::Text(Vec::new()),
            },
        }
    }

    /// Takes a cell that fits the column; rows are checked before they come here.
    fn push(&mut self, cell: &Cell) {
        if let Some(levels) = &mut self.levels {
            levels.push(i16::from(*cell != Cell::Null));
        }
        match (&mut self.values, cell) {
            (Values::Int(values), Cell::Int(value)) => values.push(*value),
            // The column's type says that these bits have no sign.
            (Values::Int(values), Cell::UInt(value)) => values.push(*value as i64),
            (Values::Real(values), Cell::Real(value)) => values.push(*value),
            (Values::Bool(values), Cell::Bool(value)) => values.push(*value),
            (Values::Text(values), Cell::Text(text)) => {
                values.push(ByteArray::from(text.as_bytes().to_vec()));
            }
            (_, cell) => debug_assert_eq!(*cell, Cell::Null),
        }
    }

    fn write<W: Write + Send>(
        &mut self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
        let missing = || ParquetError::General("the schema has fewer columns".to_owned());
        let mut column = group.next_column()?.ok_or_else(missing)?;
        let levels = self.levels.as_mut().map(take);
        let levels = levels.as_deref();
        match &mut self.values {
            Values::Int(values) => {
                let writer = column.typed::<Int64Type>();
                writer.write_batch(&take(values), levels, None)?
            }
            Values::Real(values) => {
                let writer = column.typed::<DoubleType>();
                writer.write_batch(&take(values), levels, None)?
            }
            Values::Bool(values) => {
                let writer = column.typed::<BoolType>();
                writer.write_batch(&take(values), levels, None)?
            }
            Values::Text(values) => {
                let writer = column.typed::<ByteArrayType>();
                writer.write_batch(&take(values), levels, None)?
            }
        };
        column.close()
    }
}

fn field(column: &Column<'_>) -> Result<Arc<Type>, ParquetError> {
    let (physical, logical) = match column.kind {
        Kind::Int => (Physical::INT64, None),
        Kind::UInt => (Physical::INT64, Some(LogicalType::integer(64, false))),
        Kind::Real => (Physical::DOUBLE, None),
        Kind::Bool => (Physical::BOOLEAN, None),
        // JSON too: readers that do not know the logical type JSON would show bytes.
        Kind::Text | Kind::Json => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let repetition = match column.nullable {
        true => Repetition::OPTIONAL,
        false => Repetition::REQUIRED,
    };
    Type::primitive_type_builder(column.name, physical)
        .with_logical_type(logical)
        .with_repetition(repetition)
        .build()
        .map(Arc::new)
}

/// What columns mean, for who has the file and not the document.
fn columns_json(columns: &[Column<'_>]) -> String {
    let column = |column: &Column<'_>| {
        serde_json::json!({
            "name": column.name, "type": column.kind.word(), "unit": column.unit, "doc": column.doc,
        })
    };
    serde_json::Value::from_iter(columns.iter().map(column)).to_string()
}

fn wrong(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        error => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::table::column;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    const COLUMNS: [Column<'static>; 3] = [
        column("n", Kind::Int, "", ""),
        column("text", Kind::Text, "", "").or_null(),
        column("flag", Kind::Bool, "", "").or_null(),
    ];

    /// A row whose nulls do not fall on the borders of groups.
    fn row(n: usize) -> [Cell; 3] {
        [
            Cell::Int(n as i64),
            if n.is_multiple_of(3) {
                Cell::Null
            } else {
                Cell::text(format!("row {n}"))
            },
            if n.is_multiple_of(7) {
                Cell::Null
            } else {
                Cell::Bool(n.is_multiple_of(2))
            },
        ]
    }

    #[test]
    fn a_long_table_is_many_groups_and_comes_back_row_by_row() {
        let rows = 2 * GROUP_ROWS + 10;
        let path = std::env::temp_dir().join(format!("formicarium-parquet-{}", std::process::id()));
        let file = std::fs::File::create(&path).expect("a file");
        let mut sink = Box::new(Parquet::new(file, "t", "", &COLUMNS).expect("a table"));
        for n in 0..rows {
            sink.row(&row(n)).expect("written");
            assert!(sink.rows < GROUP_ROWS, "no more is held than a group");
        }
        // Long texts end a group early.
        for n in rows..rows + 3 {
            let text = Cell::text("x".repeat(GROUP_BYTES / 2));
            sink.row(&[Cell::Int(n as i64), text, Cell::Null])
                .expect("written");
        }
        sink.finish().expect("written");
        let file = std::fs::File::open(&path).expect("the file");
        let reader = SerializedFileReader::new(file).expect("Parquet");
        let groups = reader.metadata().row_groups();
        let sizes: Vec<i64> = groups.iter().map(|group| group.num_rows()).collect();
        assert_eq!(sizes, [GROUP_ROWS as i64, GROUP_ROWS as i64, 12, 1]);
        let mut read = 0;
        for (n, found) in reader.get_row_iter(None).expect("rows").enumerate() {
            let found = found.expect("a row");
            assert_eq!(found.get_long(0).ok(), Some(n as i64));
            if n < rows {
                let [_, text, flag] = row(n);
                assert_eq!(found.get_string(1).map_or(Cell::Null, Cell::text), text);
                assert_eq!(found.get_bool(2).map_or(Cell::Null, Cell::Bool), flag);
            }
            read += 1;
        }
        assert_eq!(read, rows + 3);
        std::fs::remove_file(&path).expect("removed");
    }
}
