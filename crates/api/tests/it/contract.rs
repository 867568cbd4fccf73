//! Holds answers against an OpenAPI document: the status must be one that the operation names, the body one that its schema
//! accepts.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use serde_json::{Value, json};

/// The published contract, whose paths begin below the workspaces.
pub(crate) static CONTRACT: LazyLock<Document> = LazyLock::new(|| {
    let text = include_str!("../../../../contract/openapi.yaml");
    Document::new(serde_yaml_ng::from_str(text).unwrap(), "/api/v1/workspace")
});

/// What the API says of itself.
pub(crate) static OWN: LazyLock<Document> =
    LazyLock::new(|| Document::new(serde_json::to_value(keywright_api::openapi()).unwrap(), ""));

pub(crate) struct Document {
    pub(crate) root: Value,
    prefix: &'static str,
    templates: Vec<String>,
    validators: Mutex<HashMap<String, Arc<jsonschema::Validator>>>,
}

impl Document {
    fn new(root: Value, prefix: &'static str) -> Self {
        let mut templates: Vec<String> = root["paths"].as_object().unwrap().keys().cloned().collect();
        // Literal segments beat parameters, so the template with fewer parameters is asked first.
        templates.sort_by_key(|template| template.matches('{').count());
        Self { root, prefix, templates, validators: Mutex::default() }
    }

    /// The template that a path belongs to, if the document knows the method on it.
    fn template(&self, method: &str, path: &str) -> Option<&str> {
        let path = path.strip_prefix(self.prefix)?;
        let fits = |template: &str| {
            let (asked, known) = (path.split('/'), template.split('/'));
            asked.clone().count() == known.clone().count()
                && asked.zip(known).all(|(asked, known)| asked == known || (known.starts_with('{') && !asked.is_empty()))
        };
        let found = self.templates.iter().find(|template| fits(template) && self.root["paths"][*template].get(method).is_some());
        found.map(String::as_str)
    }

    /// Whether the document knows the operation.
    pub(crate) fn knows(&self, method: &str, path: &str) -> bool {
        self.template(method, path).is_some()
    }

    /// Panics when the answer breaks the document. An operation that it does not know is not its business.
    pub(crate) fn hold(&self, method: &str, path: &str, status: u16, media_type: Option<&str>, body: &[u8]) {
        let Some(template) = self.template(method, path) else { return };
        let place = format!("{method} {template} -> {status} {}", String::from_utf8_lossy(&body[..body.len().min(600)]));
        let responses = &self.root["paths"][template][method]["responses"];
        let named = responses.get(status.to_string());
        assert!(named.is_some() || status >= 400, "a status that the document does not name: {place}");
        let response = named.or_else(|| responses.get("default")).unwrap_or_else(|| panic!("no such response: {place}"));
        let response = self.resolve(response);
        let Some(contents) = response.get("content") else {
            assert!(body.is_empty(), "a body where the document has none: {place}");
            return;
        };
        let media_type = media_type.unwrap_or_else(|| panic!("no media type: {place}")).split(';').next().unwrap();
        let Some(content) = contents.get(media_type) else {
            // A download has whatever type its maker gave it.
            assert!(status == 200 && contents.get("application/json").is_none(), "{media_type} is not in the document: {place}");
            return;
        };
        if media_type != "application/json" {
            return;
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_else(|error| panic!("{error}: {place}"));
        let validator = self.validator(&content["schema"]);
        let problems: Vec<String> =
            validator.iter_errors(&body).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(problems.is_empty(), "{place}\n{}", problems.join("\n"));
    }

    /// The validator of a schema of this document, whose references lead into the document.
    fn validator(&self, schema: &Value) -> Arc<jsonschema::Validator> {
        let mut validators = self.validators.lock().unwrap();
        let made = validators.entry(schema.to_string()).or_insert_with(|| {
            let mut whole = self.root.clone();
            whole["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
            whole["allOf"] = json!([schema]);
            Arc::new(jsonschema::validator_for(&whole).unwrap())
        });
        Arc::clone(made)
    }

    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value.get("$ref").and_then(Value::as_str) {
            Some(reference) => self.root.pointer(reference.trim_start_matches('#')).unwrap(),
            None => value,
        }
    }
}
