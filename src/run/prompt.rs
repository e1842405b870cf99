//! System prompts: a scenario's `prompts/*.md` (or the built-in one) rendered for a seat.
//!
//! minijinja templates over what `hello` says. Only what is the same at every tick stands in them, so that the
//! provider's prompt cache has a stable head; what changes comes with the observations. Must not know adapters.

use formicarium_agents::protocol::Hello;
use formicarium_engine::Bundle;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use thiserror::Error;

/// The prompt of a cast that names none, if the scenario has it.
const DEFAULT: &str = "player";
/// Used where a scenario brings no prompt of its own.
const BUILT_IN: &str = include_str!("prompt.md");

/// A prompt that cannot be made.
#[derive(Debug, Error)]
pub enum PromptError {
    /// There is no such file.
    #[error("the scenario has no prompts/{name}.md; it has: {have}")]
    Missing {
        /// What the cast names.
        name: String,
        /// What there is.
        have: String,
    },
    /// The template is wrong.
    #[error("prompts/{name}.md:{line}: {why}", line = .line.map_or("?".to_owned(), |line| line.to_string()))]
    Template {
        /// The file.
        name: String,
        /// Where.
        line: Option<usize>,
        /// What is wrong.
        why: String,
    },
}

/// The prompts of a scenario.
#[derive(Debug)]
pub struct Prompts {
    environment: Environment<'static>,
    names: Vec<String>,
}

impl Prompts {
    /// Reads all of them.
    ///
    /// # Errors
    /// The first template that cannot be read, with its line.
    pub fn new(bundle: &Bundle) -> Result<Prompts, PromptError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build();
        environment.set_syntax(syntax.map_err(|error| wrong("*", &error))?);
        let mut names = Vec::new();
        for (path, body) in bundle.iter() {
            let Some(name) = path
                .strip_prefix("prompts/")
                .and_then(|name| name.strip_suffix(".md"))
            else {
                continue;
            };
            let text = String::from_utf8_lossy(body).into_owned();
            environment
                .add_template_owned(name.to_owned(), text)
                .map_err(|error| wrong(name, &error))?;
            names.push(name.to_owned());
        }
        if !names.iter().any(|name| name == DEFAULT) {
            environment
                .add_template(DEFAULT, BUILT_IN)
                .map_err(|error| wrong(DEFAULT, &error))?;
        }
        Ok(Prompts { environment, names })
    }

    /// The prompt of a seat; `name` is the cast's choice.
    ///
    /// # Errors
    /// There is no such prompt, or it asks for something that is not there.
    pub fn render(&self, name: Option<&str>, hello: &Hello) -> Result<String, PromptError> {
        let name = name.unwrap_or(DEFAULT);
        let template = self
            .environment
            .get_template(name)
            .map_err(|_| PromptError::Missing {
                name: name.to_owned(),
                have: match self.names.is_empty() {
                    true => "none".to_owned(),
                    false => self.names.join(", "),
                },
            })?;
        template
            .render(Value::from(Serde(hello)))
            .map_err(|error| wrong(name, &error))
    }
}

fn wrong(name: &str, error: &minijinja::Error) -> PromptError {
    let detail = error
        .detail()
        .map_or(String::new(), |detail| format!(": {detail}"));
    PromptError::Template {
        name: name.to_owned(),
        line: error.line(),
        why: format!("{}{detail}", error.kind()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(text: &str) -> Bundle {
        let mut bundle = Bundle::new();
        bundle.insert("prompts/player.md", text.as_bytes().to_vec());
        bundle
    }

    fn hello() -> Hello {
        serde_json::from_value(serde_json::json!({
            "protocol": 1, "run": "r", "scenario": {"name": "s", "title": "The S"}, "seat": "a", "role": "You eat.",
            "rules": "Eat.", "actions": [{"name": "move", "description": "Go.", "parameters": {}}],
            "limits": {"actions": 1, "speech": 1, "speech_chars": 500, "thought_chars": 2000, "log_chars": 2000,
                "remember_bytes": 16384, "line_bytes": 1048576},
            "time": {"mode": "lockstep", "deadline_ms": 10, "hz": null, "ticks": 9}, "remembered": null,
        }))
        .expect("a hello")
    }

    #[test]
    fn a_prompt_is_rendered_and_mistakes_have_a_line() {
        let prompts = Prompts::new(&bundle("{{ seat }} in {{ scenario.title }}")).expect("good");
        assert_eq!(
            prompts.render(None, &hello()).expect("rendered"),
            "a in The S"
        );
        let built_in = Prompts::new(&Bundle::new()).expect("good");
        let text = built_in.render(None, &hello()).expect("rendered");
        assert!(
            text.contains("The S") && text.contains("You eat.") && text.contains("move"),
            "{text}"
        );
        let error = Prompts::new(&bundle("one\n{% if %}"))
            .expect_err("broken")
            .to_string();
        assert!(error.starts_with("prompts/player.md:2: "), "{error}");
        let prompts = Prompts::new(&bundle("one\n{{ saet }}")).expect("only seen when rendered");
        let error = prompts
            .render(None, &hello())
            .expect_err("undefined")
            .to_string();
        assert!(error.starts_with("prompts/player.md:2: "), "{error}");
        let error = prompts
            .render(Some("x"), &hello())
            .expect_err("missing")
            .to_string();
        assert!(error.contains("no prompts/x.md; it has: player"), "{error}");
    }
}
