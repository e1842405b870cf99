//! What a table is: its columns with type, unit and meaning, and the cells of a row.
//!
//! Data only; must not know where rows come from, nor how a format writes them.

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number, 64 bits with a sign.
    Int,
    /// A whole number from 0, 64 bits.
    UInt,
    /// A finite number, 64 bits.
    Real,
    /// True or false.
    Bool,
    /// Text.
    Text,
    /// JSON, as text.
    Json,
}

impl Kind {
    /// The word in documents.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Int => "int64",
            Kind::UInt => "uint64",
            Kind::Real => "float64",
            Kind::Bool => "bool",
            Kind::Text => "text",
            Kind::Json => "json",
        }
    }
}

/// One column.
#[derive(Debug, Clone, Copy)]
pub struct Column<'a> {
    /// Its name, in snake_case.
    pub name: &'a str,
    /// What it holds.
    pub kind: Kind,
    /// What its numbers count; empty for none.
    pub unit: &'a str,
    /// Whether a cell may be empty.
    pub nullable: bool,
    /// What it says, and when it is empty.
    pub doc: &'a str,
}

/// One table.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Its name, and that of its file without the ending.
    pub name: &'static str,
    /// What a row is.
    pub doc: &'static str,
    /// Its columns in order.
    pub columns: &'static [Column<'static>],
    /// Where its rows come from.
    pub(super) source: Source,
}

/// Where the rows of a table come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// The one row about the run.
    Run,
    /// Rows of a query, its columns those of the table in order.
    Query(&'static str),
    /// Metrics, with the units of the scenario.
    Metrics,
    /// The inputs, with what became of the actions in them.
    Actions,
    /// Versions and refusals of the shared tree.
    Files,
    /// What became of leases.
    Leases,
}

/// What stands in one column of one row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// Of [`Kind::Int`].
    Int(i64),
    /// Of [`Kind::UInt`].
    UInt(u64),
    /// Of [`Kind::Real`]; finite.
    Real(f64),
    /// Of [`Kind::Bool`].
    Bool(bool),
    /// Of [`Kind::Text`] or [`Kind::Json`].
    Text(String),
}

impl Cell {
    /// A number that SQLite has kept, or null.
    pub(super) fn int(value: impl Into<Option<u64>>) -> Cell {
        value
            .into()
            .map_or(Cell::Null, |value| Cell::Int(value as i64))
    }

    /// Text.
    pub(super) fn text(value: impl Into<String>) -> Cell {
        Cell::Text(value.into())
    }

    /// Text, or null.
    pub(super) fn text_or_null(value: Option<impl Into<String>>) -> Cell {
        value.map_or(Cell::Null, Cell::text)
    }
}

pub(super) const fn column(
    name: &'static str,
    kind: Kind,
    unit: &'static str,
    doc: &'static str,
) -> Column<'static> {
    Column {
        name,
        kind,
        unit,
        nullable: false,
        doc,
    }
}

impl Column<'_> {
    /// The same, whose cells may be empty.
    pub const fn or_null(mut self) -> Self {
        self.nullable = true;
        self
    }
}
