//! Broker, journal, shared tree and desks with real files and a real database.

#[path = "../journal/sqlite.rs"]
mod sqlite;

mod desk;
mod publish;
mod recover;
mod stage;
