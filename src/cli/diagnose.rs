//! Shows diagnostics of scenario and cast files to a person: the line, the place, what to do.

use formicarium_engine::{Bundle, Diagnostic, Severity};
use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report,
};

/// Columns before a message is wrapped.
const WIDTH: usize = 160;

/// Prints all of them on standard error; the sources are taken from `bundle`.
pub(super) fn print(list: &[Diagnostic], bundle: &Bundle) {
    use std::io::IsTerminal;
    let theme = match std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        true => GraphicalTheme::unicode(),
        false => GraphicalTheme::unicode_nocolor(),
    };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(WIDTH);
    for diagnostic in list {
        let text =
            String::from_utf8_lossy(bundle.get(&diagnostic.file).unwrap_or_default()).into_owned();
        let mut words = String::new();
        if handler
            .render_report(&mut words, report(diagnostic, text).as_ref())
            .is_err()
        {
            words = diagnostic.to_string();
        }
        eprintln!("{}\n", words.trim_end());
    }
    let errors = list
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .count();
    eprintln!("{errors} error{}", if errors == 1 { "" } else { "s" });
}

fn report(diagnostic: &Diagnostic, text: String) -> Report {
    let label = diagnostic
        .expected
        .as_ref()
        .map(|expected| format!("expected {expected}"));
    let start = diagnostic.span.start.min(text.len());
    let length = diagnostic.span.end.min(text.len()).saturating_sub(start);
    let Diagnostic {
        file,
        line,
        column,
        message,
        ..
    } = diagnostic;
    // The place is part of the message: editors and grep find it there.
    let mut shown = MietteDiagnostic::new(format!("{file}:{line}:{column}: {message}"))
        .with_label(LabeledSpan::new(label, start, length))
        .with_severity(match diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        });
    if let Some(help) = &diagnostic.help {
        shown = shown.with_help(help.clone());
    }
    Report::new(shown).with_source_code(NamedSource::new(file, text))
}
