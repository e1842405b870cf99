//! Which events are meant: a name, and what some of their fields must be. Read from `events` and `where`, which stand
//! beside each other in metrics and scores. It must not know what is done with the events.

use super::diagnostic::suggest;
use super::reader::{Item, Table};
use crate::event::Event;
use crate::mechanic::{EVENTS, FieldKind, Mechanics};
use crate::value::Value;

/// Events of one name whose fields are as wanted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Filter {
    pub(crate) event: String,
    /// Field and value; all must hold. `text` is the event's text.
    wants: Vec<(String, Value)>,
}

impl Filter {
    /// Reads `events` and `where` of a table; none if there is no `events`, or it names no event.
    pub(super) fn read(table: &Table<'_>, mechanics: &Mechanics) -> Option<Self> {
        let events = table.get("events");
        let wants = table.get("where");
        let Some(events) = events else {
            if let Some(item) = wants {
                item.fault(format!("`{}` without events", item.path()))
                    .expected("events = \"NAME\" beside it");
            }
            return None;
        };
        let names: Vec<&str> = EVENTS.iter().map(|(name, _)| *name).collect();
        let (event, fields) = EVENTS[events.choice(&names)?];
        let mut fields = fields.to_vec();
        if let Some(config) = mechanics.report.as_ref().filter(|_| event == "report.made") {
            let reported = config.reports.iter().flat_map(|report| &report.fields);
            fields.extend(reported.map(|field| (field.name.as_str(), FieldKind::Int)));
        }
        let wants = match wants {
            Some(item) => item
                .table()?
                .entries()
                .into_iter()
                .filter_map(|(name, span, item)| {
                    let Some((_, kind)) = fields.iter().find(|(known, _)| *known == name) else {
                        table
                            .reader()
                            .fault(span, format!("event {event} has no field `{name}`"))
                            .help(suggest(name, fields.iter().map(|(name, _)| *name)));
                        return None;
                    };
                    Some((name.to_owned(), wanted(&item, *kind)?))
                })
                .collect(),
            None => Vec::new(),
        };
        Some(Self {
            event: event.to_owned(),
            wants,
        })
    }

    /// Whether an event is meant.
    pub(crate) fn takes(&self, event: &Event) -> bool {
        event.name == self.event
            && self.wants.iter().all(|(name, want)| match want {
                Value::Text(want) if name == "text" => event.text.as_deref() == Some(want),
                want => event
                    .fields
                    .iter()
                    .any(|(field, value)| field == name && value == want),
            })
    }

    /// In words: `file.refused with code conflict`.
    pub(crate) fn words(&self) -> String {
        let mut words = self.event.clone();
        for (index, (name, value)) in self.wants.iter().enumerate() {
            words += if index == 0 { " with " } else { " and " };
            words += name;
            words.push(' ');
            match value {
                Value::Text(text) => words += text,
                Value::Bool(yes) => words += if *yes { "true" } else { "false" },
                Value::Int(number) => words += &number.to_string(),
                _ => {}
            }
        }
        words
    }
}

fn wanted(item: &Item<'_>, kind: FieldKind) -> Option<Value> {
    match kind {
        FieldKind::Text => item.text().map(Value::from),
        FieldKind::Bool => item.bool().map(Value::from),
        FieldKind::Int => item.int(i64::MIN..=i64::MAX).map(Value::from),
        FieldKind::Num => {
            item.fault(format!(
                "`{}` is about a number with a fraction",
                item.path()
            ))
            .help("only texts, true or false, and whole numbers are told apart");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{FileFact, FileNews, InputBody, SeatId, SeatInput, TickInput, World, fixture};

    #[test]
    fn events_are_told_apart_by_their_fields() {
        let scenario = fixture::workshop();
        let params = scenario.params(&[]).unwrap();
        let mut world = World::new(&scenario, &params, 1).unwrap();
        let published = |version, merged| FileNews::Published {
            version,
            change: "changed".into(),
            merged,
        };
        let refused = |code: &str| FileNews::Refused {
            code: code.into(),
            reason: "others were quicker".into(),
            holder: None,
        };
        let facts = [
            (0, "toc.md", published(2, true)),
            (0, "chapter-1.md", published(1, false)),
            (1, "chapter-1.md", published(2, false)),
            (1, "chapter-2.md", published(1, true)),
            (2, "toc.md", refused("conflict")),
            (2, "chapter-1.md", refused("together")),
            (3, "toc.md", refused("leased")),
        ];
        let seats = facts.map(|(seat, path, news)| SeatInput {
            seat: SeatId(seat),
            seq: 0,
            body: InputBody::File(FileFact {
                number: 0,
                path: path.into(),
                news,
            }),
        });
        let input = TickInput {
            set: Vec::new(),
            tick: 1,
            seats: seats.to_vec(),
        };
        // broken, joy, merges, conflicts, first versions of chapter-1.md; 1 point a version, 0.5 for one that was merged.
        let output = world.step(&input);
        assert_eq!(output.metrics, [0.0, 0.0, 2.0, 1.0, 1.0]);
        assert_eq!(output.scores, [1.5, 1.5, 0.0, 0.0]);
        assert_eq!(
            world
                .observe(SeatId(1))
                .state
                .get("you")
                .unwrap()
                .get("score"),
            Some(&1.5.into())
        );
        let output = world.step(&input);
        assert_eq!(output.metrics, [0.0, 0.0, 4.0, 2.0, 2.0]);
        assert_eq!(output.scores, [3.0, 3.0, 0.0, 0.0]);
    }
}
