//! Chat templates: how a conversation is written for a model, as its folder says in Jinja.

use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, ErrorKind};
use serde::Serialize;

use crate::weights::{ConfigFile, without_mark};
use crate::{Error, Result};

/// Far above any template that was published.
const MAX_BYTES: u64 = 1 << 20;
/// Steps that a template may take: thousands of messages are far below.
const FUEL: u64 = 10_000_000;

/// A part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ChatPart<'a> {
    /// An image; the template writes a placeholder.
    Image,
    /// A video, likewise.
    Video,
    /// Words.
    Text {
        /// The words.
        text: &'a str,
    },
}

/// A message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChatMessage<'a> {
    /// Who speaks: `system`, `user` or `assistant`.
    pub role: &'a str,
    /// What is said and shown.
    pub content: Vec<ChatPart<'a>>,
}

/// The template of a model's folder.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    path: PathBuf,
    source: String,
    bos: Option<String>,
    eos: Option<String>,
}

impl ChatTemplate {
    /// Reads `chat_template.jinja`, else `chat_template.json`, else `chat_template` of `tokenizer_config.json`, of several the one
    /// that is called `default`.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`] for a folder without one and for one that is no Jinja, with its line.
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let config = folder.join("tokenizer_config.json");
        let config = if config.exists() { Some(ConfigFile::open(config)?) } else { None };
        let token = |key: &str| super::token_text(config.as_ref()?.get(key)?).map(str::to_owned);
        let (bos, eos) = (token("bos_token"), token("eos_token"));
        let with = |path: PathBuf, source: String| Self::new(path, source, bos.clone(), eos.clone());
        let plain = folder.join("chat_template.jinja");
        if plain.exists() {
            let bytes = crate::weights::file::read(&plain, MAX_BYTES, "a chat template")?;
            let text =
                std::str::from_utf8(without_mark(&bytes)).map_err(|e| Error::file(&plain, e.to_string()))?;
            return with(plain.clone(), text.to_owned());
        }
        let own = folder.join("chat_template.json");
        let own = if own.exists() { Some(ConfigFile::open(own)?) } else { None };
        for file in [own, config.clone()].iter().flatten() {
            if let Some(source) = source_in(file)? {
                return with(file.path().into(), source);
            }
        }
        let reason = "no chat template: expected chat_template.jinja, chat_template.json or `chat_template` in tokenizer_config.json";
        Err(Error::file(folder, reason))
    }

    /// Takes a template in memory; `name` stands for the path in messages.
    ///
    /// # Errors
    /// [`Error::File`] for one that is no Jinja, with its line.
    pub fn from_source(name: impl Into<PathBuf>, source: impl Into<String>) -> Result<Self> {
        Self::new(name.into(), source.into(), None, None)
    }

    fn new(path: PathBuf, source: String, bos: Option<String>, eos: Option<String>) -> Result<Self> {
        let template = Self { path, source, bos, eos };
        let environment = template.environment()?;
        environment.template_from_str(&template.source).map_err(|e| template.refuse(&e))?;
        Ok(template)
    }

    /// The environment that transformers renders in.
    fn environment(&self) -> Result<Environment<'static>> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| self.refuse(&e))?);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_fuel(Some(FUEL));
        // As Python writes JSON: with spaces, and without the escapes that HTML wants.
        environment.add_filter("tojson", |value: Value| -> std::result::Result<String, minijinja::Error> {
            let refuse =
                |e: serde_json::Error| minijinja::Error::new(ErrorKind::BadSerialization, e.to_string());
            let mut bytes = Vec::new();
            let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, PythonJson);
            value.serialize(&mut serializer).map_err(refuse)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        });
        environment.add_function("raise_exception", |message: String| -> std::result::Result<Value, _> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        Ok(environment)
    }

    /// The text of a conversation, up to where the model's answer begins.
    ///
    /// # Errors
    /// [`Error::File`] for what the template refuses, for functions that are not there, and for one that does not end.
    pub fn render(&self, messages: &[ChatMessage<'_>]) -> Result<String> {
        let environment = self.environment()?;
        let template = environment.template_from_str(&self.source).map_err(|e| self.refuse(&e))?;
        let context = Context {
            messages,
            add_generation_prompt: true,
            add_vision_id: false,
            bos_token: self.bos.as_deref().unwrap_or_default(),
            eos_token: self.eos.as_deref().unwrap_or_default(),
            tools: None,
            documents: None,
        };
        template.render(Value::from(Serde(&context))).map_err(|e| self.refuse(&e))
    }

    fn refuse(&self, error: &minijinja::Error) -> Error {
        let line = error.line().map_or_else(String::new, |line| format!(", line {line}"));
        let detail =
            error.detail().map_or_else(|| error.kind().to_string(), |d| format!("{}: {d}", error.kind()));
        Error::file(&self.path, format!("the chat template{line}: {detail}"))
    }
}

/// What a template sees.
#[derive(Serialize)]
struct Context<'a> {
    messages: &'a [ChatMessage<'a>],
    add_generation_prompt: bool,
    add_vision_id: bool,
    bos_token: &'a str,
    eos_token: &'a str,
    // Templates ask whether there are any.
    tools: Option<()>,
    documents: Option<()>,
}

/// `", "` between values and `": "` behind keys.
struct PythonJson;

impl serde_json::ser::Formatter for PythonJson {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        to: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { to.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        to: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { to.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, to: &mut W) -> std::io::Result<()> {
        to.write_all(b": ")
    }
}

fn source_in(file: &ConfigFile) -> Result<Option<String>> {
    let Some(value) = file.get("chat_template") else { return Ok(None) };
    let named = |list: &Vec<serde_json::Value>| {
        let default = |v: &&serde_json::Value| v.get("name").and_then(|n| n.as_str()) == Some("default");
        list.iter().find(default).and_then(|v| v.get("template")?.as_str().map(str::to_owned))
    };
    match value.as_str().map(str::to_owned).or_else(|| value.as_array().and_then(named)) {
        Some(source) => Ok(Some(source)),
        None => Err(file.refuse("`chat_template`: expected a text, or a list with one named `default`")),
    }
}

#[cfg(test)]
mod tests;
