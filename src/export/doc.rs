//! The tables in words: the part of docs/export.md that is made from the code (`make bless`).

use super::tables::TABLES;

/// Markdown of all tables and their columns.
pub fn columns() -> String {
    let mut text = String::new();
    for table in &TABLES {
        text += &format!("### `{}`\n\nA row: {}.\n\n", table.name, table.doc);
        text += "| column | type | unit | null | meaning |\n| --- | --- | --- | --- | --- |\n";
        for column in table.columns {
            let null = if column.nullable { "yes" } else { "" };
            text += &format!(
                "| `{}` | {} | {} | {null} | {} |\n",
                column.name,
                column.kind.word(),
                column.unit,
                column.doc
            );
        }
        text.push('\n');
    }
    text
}
