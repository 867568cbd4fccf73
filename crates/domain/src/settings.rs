//! The settings file of a project (`Intuned.json` and its sisters), read into what Keywright acts on.
//!
//! Members that Keywright has no use for are left alone, because projects are written for the platform and carry many.
//! Refused are a wrong type or range in a member that matters, duplicate members, and documents nobody writes by hand
//! (over a mebibyte, nested a hundred deep).

use serde_json::Value;
use thiserror::Error;

use crate::strict::{StrictValue, measure};
use crate::{InvalidProxy, MAX_LABELS, ProjectName, ProxyUrl, WorkerLabel, WorkerLabels};

/// The file names a project may use, in the order in which they are looked up.
pub const SETTINGS_FILES: [&str; 5] = ["Intuned.json", "Intuned.jsonc", "Intuned.yaml", "Intuned.yml", "Intuned.toml"];

/// Largest accepted settings file, in bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// Most machines a project can ask for.
const MAX_CONCURRENCY: i64 = 1_000;

/// Why a settings file is refused. Completes "the settings file …".
#[derive(Debug, Error)]
pub enum InvalidSettings {
    /// Too large to be one.
    #[error("is larger than {MAX_BYTES} bytes")]
    Size,
    /// Not text.
    #[error("is not UTF-8")]
    NotUtf8,
    /// Not readable in the format that its name promises.
    #[error("cannot be read: {0}")]
    Syntax(String),
    /// A member with a value that it cannot have.
    #[error("has a bad `{member}`: {why}")]
    Member {
        /// Dotted path of the member.
        member: &'static str,
        /// Completes "it …".
        why: String,
    },
}

/// Which browser runs the project's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum BrowserChoice {
    /// `chromium-headless-shell`: fast, and the default.
    #[default]
    HeadlessShell,
    /// Full Chromium: slower, and nothing about it differs from a person's.
    Chromium,
}

/// How long a slot lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Isolation {
    /// A slot serves further attempts of the same deployment and session, each in a fresh browser context.
    #[default]
    Session,
    /// A slot serves one attempt.
    Attempt,
}

/// The inner size of a page, in CSS pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Viewport {
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

impl Default for Viewport {
    fn default() -> Self {
        Self { width: 1024, height: 800 }
    }
}

/// What a project asks for.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Settings {
    /// The name it wants to be deployed under, unless the deployer gives another.
    pub project_name: Option<ProjectName>,
    /// Whether single runs may be started over the API. On unless switched off.
    pub is_api_access_enabled: bool,
    /// Whether every API needs an AuthSession.
    pub is_auth_enabled: bool,
    /// Attempts of this project that may be under way at once.
    pub max_concurrent: u32,
    /// The labels that a worker must carry to run this project; `replication.workerLabels`, ours alone.
    pub worker_labels: WorkerLabels,
    /// The page's inner size.
    pub viewport: Viewport,
    /// Which browser; the server's default (`EngineParts::default_browser`) when the project names none.
    pub browser: Option<BrowserChoice>,
    /// How long a slot lives.
    pub isolation: Isolation,
    /// IANA time zone of the pages; the machine's when absent.
    pub timezone: Option<String>,
    /// BCP 47 language of the pages; the browser's when absent.
    pub locale: Option<String>,
    /// The proxy of runs that bring none.
    pub proxy: Option<ProxySetting>,
    /// Members that are understood but not acted on yet, to be told to the deployer.
    pub ignored: Vec<&'static str>,
}

/// A proxy as a settings file names it.
#[derive(Clone, Debug, PartialEq)]
pub enum ProxySetting {
    /// The operator's default, `intuned://auto`.
    Auto,
    /// This one.
    Url(ProxyUrl),
}

impl Settings {
    /// Reads a settings file by its name and content.
    ///
    /// # Errors
    /// See [`InvalidSettings`].
    pub fn parse(file_name: &str, content: &[u8]) -> Result<Self, InvalidSettings> {
        if content.len() > MAX_BYTES {
            return Err(InvalidSettings::Size);
        }
        let text = std::str::from_utf8(content).map_err(|_| InvalidSettings::NotUtf8)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        measure(text.as_bytes()).map_err(|error| InvalidSettings::Syntax(error.to_string()))?;
        let syntax = |error: &dyn std::fmt::Display| InvalidSettings::Syntax(error.to_string());
        let StrictValue(root) = match file_name.rsplit('.').next() {
            Some("toml") => toml::from_str(text).map_err(|error| syntax(&error))?,
            Some("yaml" | "yml") => serde_yaml_ng::from_str(text).map_err(|error| syntax(&error))?,
            _ => json5::from_str(text).map_err(|error| syntax(&error))?,
        };
        Self::from_value(&root)
    }

    fn from_value(root: &Value) -> Result<Self, InvalidSettings> {
        let root = Members { value: root };
        if !root.value.is_object() {
            return Err(InvalidSettings::Syntax("the top of the file is not an object".to_owned()));
        }
        let project_name = root
            .text("projectName")?
            .map(|name| ProjectName::parse(name).map_err(|error| bad("projectName", error)))
            .transpose()?;
        let is_auth_enabled = root.flag("authSessions.enabled")?.unwrap_or(false);
        if is_auth_enabled && root.text("authSessions.type")? == Some("MANUAL") {
            let why = "asks for recorded sessions (MANUAL), which this version cannot make; use API".to_owned();
            return Err(InvalidSettings::Member { member: "authSessions.type", why });
        }
        let max_concurrent = match root.whole("replication.maxConcurrentRequests", 1, MAX_CONCURRENCY)? {
            Some(count) => count,
            None => root.whole("replication.maxCount", 1, MAX_CONCURRENCY)?.unwrap_or(1),
        };
        Ok(Self {
            project_name,
            is_api_access_enabled: root.flag("apiAccess.enabled")?.unwrap_or(true),
            is_auth_enabled,
            max_concurrent,
            worker_labels: root.labels("replication.workerLabels")?,
            viewport: Viewport {
                width: root.whole("browserSize.width", 200, 3_840)?.unwrap_or(Viewport::default().width),
                height: root.whole("browserSize.height", 200, 2_160)?.unwrap_or(Viewport::default().height),
            },
            browser: match root.text("browser")? {
                None => None,
                Some("chromium-headless-shell") => Some(BrowserChoice::HeadlessShell),
                Some("chromium") => Some(BrowserChoice::Chromium),
                Some(_) => return Err(bad("browser", "is neither \"chromium-headless-shell\" nor \"chromium\"")),
            },
            isolation: match root.text("isolation")? {
                None | Some("session") => Isolation::Session,
                Some("attempt") => Isolation::Attempt,
                Some(_) => return Err(bad("isolation", "is neither \"session\" nor \"attempt\"")),
            },
            timezone: root.text("timezone")?.map(str::to_owned),
            locale: root.text("locale")?.map(str::to_owned),
            proxy: root.text("proxy.deployed")?.map(proxy_setting).transpose()?,
            ignored: ["headful", "stealthMode.enabled", "captchaSolver.enabled"]
                .into_iter()
                .filter(|member| root.get(member) == Some(&Value::Bool(true)))
                .collect(),
        })
    }
}

fn proxy_setting(text: &str) -> Result<ProxySetting, InvalidSettings> {
    if text == ProxyUrl::AUTO {
        return Ok(ProxySetting::Auto);
    }
    ProxyUrl::parse(text).map(ProxySetting::Url).map_err(|error: InvalidProxy| bad("proxy.deployed", error))
}

fn bad(member: &'static str, why: impl std::fmt::Display) -> InvalidSettings {
    InvalidSettings::Member { member, why: format!("it {why}") }
}

/// Typed reads by dotted path; null counts as absent.
struct Members<'a> {
    value: &'a Value,
}

impl<'a> Members<'a> {
    fn get(&self, path: &str) -> Option<&'a Value> {
        path.split('.').try_fold(self.value, |value, key| value.get(key)).filter(|value| !value.is_null())
    }

    fn text(&self, path: &'static str) -> Result<Option<&'a str>, InvalidSettings> {
        let read = |value: &'a Value| value.as_str().ok_or_else(|| bad(path, "is not a string"));
        self.get(path).map(read).transpose()
    }

    fn flag(&self, path: &'static str) -> Result<Option<bool>, InvalidSettings> {
        let read = |value: &Value| value.as_bool().ok_or_else(|| bad(path, "is not true or false"));
        self.get(path).map(read).transpose()
    }

    fn labels(&self, path: &'static str) -> Result<WorkerLabels, InvalidSettings> {
        let Some(value) = self.get(path) else { return Ok(WorkerLabels::new()) };
        let items = value.as_array().filter(|items| items.len() <= MAX_LABELS);
        let items = items.ok_or_else(|| bad(path, format!("is not a list of at most {MAX_LABELS} strings")))?;
        let read = |item: &Value| {
            let text = item.as_str().ok_or_else(|| bad(path, "has a member that is not a string"))?;
            WorkerLabel::parse(text).map_err(|error| bad(path, format!("has a member that is no label: {error}")))
        };
        items.iter().map(read).collect()
    }

    fn whole(&self, path: &'static str, min: i64, max: i64) -> Result<Option<u32>, InvalidSettings> {
        let read = |value: &Value| {
            let number = value.as_f64().filter(|number| number.fract() == 0.0);
            #[expect(clippy::cast_possible_truncation, reason = "the range check below refuses whatever was cut off")]
            let whole = number.map(|number| number as i64).filter(|number| (min..=max).contains(number));
            whole
                .and_then(|number| u32::try_from(number).ok())
                .ok_or_else(|| bad(path, format!("is not a whole number from {min} to {max}")))
        };
        self.get(path).map(read).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_formats_say_the_same() {
        let json = br#"{ // comments and trailing commas are fine
            "projectName": "shop", "authSessions": {"enabled": true, "type": "API"},
            "replication": {"maxConcurrentRequests": 2}, "url": "http://x//y", }"#;
        let yaml = b"projectName: shop\nauthSessions: {enabled: true, type: API}\nreplication: {maxConcurrentRequests: 2}\n";
        let toml =
            b"projectName = \"shop\"\n[authSessions]\nenabled = true\ntype = \"API\"\n[replication]\nmaxConcurrentRequests = 2\n";
        let expected = Settings::parse("Intuned.json", json).unwrap();
        assert!(expected.is_auth_enabled && expected.is_api_access_enabled);
        assert_eq!(expected.max_concurrent, 2);
        assert_eq!(Settings::parse("Intuned.yaml", yaml).unwrap(), expected);
        assert_eq!(Settings::parse("Intuned.toml", toml).unwrap(), expected);
        let with_bom = [b"\xef\xbb\xbf".as_slice(), json].concat();
        assert_eq!(Settings::parse("Intuned.jsonc", &with_bom).unwrap(), expected);
    }

    #[test]
    fn nonsense_is_refused_with_the_member_named() {
        for (text, part) in [
            ("[]", "not an object"),
            ("{", "cannot be read"),
            (r#"{"a":1,"a":2}"#, "duplicate"),
            (r#"{"authSessions":{"enabled":"yes"}}"#, "authSessions.enabled"),
            (r#"{"replication":{"maxConcurrentRequests":0.5}}"#, "maxConcurrentRequests"),
            (r#"{"browserSize":{"width":10}}"#, "browserSize.width"),
            (r#"{"replication":{"workerLabels":["region=eu", "Ü"]}}"#, "workerLabels"),
            (r#"{"replication":{"workerLabels":"eu"}}"#, "workerLabels"),
            (r#"{"projectName":"../x"}"#, "projectName"),
            (r#"{"authSessions":{"enabled":true,"type":"MANUAL"}}"#, "MANUAL"),
            (r#"{"proxy":{"deployed":"socks4://x"}}"#, "proxy.deployed"),
        ] {
            let error = Settings::parse("Intuned.json", text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        let deep = "[".repeat(10_000);
        assert!(Settings::parse("Intuned.json", deep.as_bytes()).is_err());
        assert!(Settings::parse("Intuned.json", &vec![b' '; MAX_BYTES + 1]).is_err());
    }
}
