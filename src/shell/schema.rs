//! JSON Schema of the configuration and of dialplans, from the same tables that check them.

use crate::base::yaml::{Key, Shape, Type, Variants};
use crate::{config, dialplan};
use serde_json::{Map, Value, json};

/// The schema of `tandem.yaml`.
pub fn schema() -> Value {
    Writer { references: true, ..Writer::default() }.document("tandem.yaml", &config::shapes::FILE)
}

/// The schema of a dialplan file.
pub fn dialplan_schema() -> Value {
    Writer::default().document("Tandem dialplan", &dialplan::shapes::FILE)
}

#[derive(Default)]
struct Writer {
    /// Every text may be `env:NAME` or `file:PATH`.
    references: bool,
    /// Shapes and types that were begun, by their place in memory, since tables name themselves.
    begun: Vec<(usize, String)>,
    definitions: Map<String, Value>,
}

impl Writer {
    fn document(mut self, title: &str, shape: &'static Shape) -> Value {
        let root = self.shape(shape);
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": title,
            "$ref": root["$ref"],
            "$defs": self.definitions,
        })
    }

    /// A reference to the definition of what lies at `address`, written the first time that it is asked for.
    fn refer(&mut self, address: usize, name: &str, write: impl FnOnce(&mut Self) -> Value) -> Value {
        if let Some((_, name)) = self.begun.iter().find(|(a, _)| *a == address) {
            return json!({ "$ref": format!("#/$defs/{name}") });
        }
        let taken = self.begun.iter().filter(|(_, n)| n == name || n.starts_with(&format!("{name}-"))).count();
        let name = if taken == 0 { name.to_owned() } else { format!("{name}-{}", taken + 1) };
        self.begun.push((address, name.clone()));
        let written = write(self);
        let reference = json!({ "$ref": format!("#/$defs/{name}") });
        self.definitions.insert(name, written);
        reference
    }

    fn shape(&mut self, shape: &'static Shape) -> Value {
        let name = shape.name.replace(' ', "_");
        self.refer(std::ptr::from_ref(shape) as usize, &name, |this| {
            let keys = shape.keys.iter().filter(|k| !matches!(k.kind, Type::Later));
            let properties: Map<String, Value> = keys.map(|k| (k.name.to_owned(), this.key(k))).collect();
            let required: Vec<&str> = shape.keys.iter().filter(|k| k.required).map(|k| k.name).collect();
            let mut out = json!({ "type": "object", "properties": properties, "additionalProperties": false });
            if !shape.doc.is_empty() {
                out["description"] = shape.doc.into();
            }
            if !required.is_empty() {
                out["required"] = json!(required);
            }
            if let Some((prefix, kind)) = shape.prefixed {
                let pattern = format!("^{}.", prefix.replace('.', "\\."));
                out["patternProperties"] = json!({ pattern: this.kind(kind) });
            }
            out
        })
    }

    fn key(&mut self, key: &'static Key) -> Value {
        let mut out = self.kind(&key.kind);
        if !key.doc.is_empty() {
            out["description"] = key.doc.into();
        }
        if !key.default.is_empty() {
            out["default"] = key.default.into();
        }
        out
    }

    fn kind(&mut self, kind: &'static Type) -> Value {
        match kind {
            Type::Text | Type::Secret => json!({ "type": ["string", "number", "boolean"] }),
            Type::Form(expected, _) => json!({ "type": ["string", "number"], "description": expected }),
            Type::Bool => self.or_reference(json!({ "type": "boolean" })),
            Type::Int(min, max) => self.or_reference(json!({ "type": "integer", "minimum": min, "maximum": max })),
            Type::Duration => self.or_reference(json!({ "type": "string", "pattern": "^([0-9]+(d|h|m|s|ms))+$" })),
            Type::Choice(options) => self.or_reference(json!({ "enum": options })),
            Type::List(item) => json!({ "type": "array", "items": self.kind(item) }),
            Type::OneOrMore(item) => {
                let item = self.kind(item);
                json!({ "anyOf": [item, { "type": "array", "items": item }] })
            }
            Type::Map(shape) => self.shape(shape),
            Type::Short(shape, main) => {
                let value = shape.key(main).map_or(json!({}), |k| self.kind(&k.kind));
                json!({ "anyOf": [value, self.shape(shape)] })
            }
            Type::Dict(item) => json!({ "type": "object", "additionalProperties": self.kind(item) }),
            Type::OneOf(variants) => self.variants(variants),
            Type::As(kind) => self.refer(std::ptr::from_ref(*kind) as usize, "steps", |this| this.kind(kind)),
            Type::Any | Type::Later => json!({}),
        }
    }

    fn or_reference(&self, value: Value) -> Value {
        if self.references {
            json!({ "anyOf": [value, { "type": "string", "pattern": "^(env|file):" }] })
        } else {
            value
        }
    }

    fn variants(&mut self, variants: &'static Variants) -> Value {
        self.refer(std::ptr::from_ref(variants) as usize, variants.name, |this| {
            let known = || variants.options.iter().filter(|o| !o.later);
            let bare: Vec<&str> = known().filter(|o| o.bare).map(|o| o.name).collect();
            let mut all = vec![json!({ "enum": bare })];
            for option in known() {
                let mut value = this.kind(&option.kind);
                if option.bare {
                    value = json!({ "anyOf": [value, { "type": "null" }] });
                }
                value["description"] = option.doc.into();
                let mut properties = Map::from_iter([(option.name.to_owned(), value)]);
                properties.extend(variants.beside.keys.iter().map(|k| (k.name.to_owned(), this.key(k))));
                all.push(json!({
                    "type": "object",
                    "properties": properties,
                    "required": [option.name],
                    "additionalProperties": false,
                }));
            }
            json!({ "anyOf": all })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every reference of a schema.
    fn references<'a>(value: &'a Value, out: &mut Vec<&'a str>) {
        match value {
            Value::Object(map) => {
                out.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|v| references(v, out));
            }
            Value::Array(items) => items.iter().for_each(|v| references(v, out)),
            _ => {}
        }
    }

    #[test]
    fn schemas_are_whole() {
        for schema in [schema(), dialplan_schema()] {
            let mut all = Vec::new();
            references(&schema, &mut all);
            assert!(all.len() > 5);
            for reference in all {
                let path = reference.trim_start_matches('#');
                assert!(schema.pointer(path).is_some_and(Value::is_object), "{reference}");
            }
        }
    }

    #[test]
    fn schemas_say_what_the_tables_say() {
        let config = schema();
        let at = |schema: &Value, path: &str| schema.pointer(path).cloned().unwrap_or(json!(path));
        assert_eq!(at(&config, "/$defs/trunk/required"), json!(["name", "context"]));
        assert_eq!(at(&config, "/$defs/configuration/properties/drain_timeout/default"), json!("5m"));
        assert_eq!(at(&config, "/$defs/user/additionalProperties"), json!(false));
        let plan = dialplan_schema();
        assert_eq!(at(&plan, "/$defs/rule/required"), json!(["do"]));
        assert_eq!(at(&plan, "/$defs/rule/properties/do/$ref"), json!("#/$defs/steps"));
        assert_eq!(at(&plan, "/$defs/when/properties/not/$ref"), json!("#/$defs/when"));
        assert_eq!(at(&plan, "/$defs/queue/properties/workflow"), json!("/$defs/queue/properties/workflow"));
        assert_eq!(
            at(&plan, "/$defs/step/anyOf/0/enum"),
            json!([
                "answer",
                "reject",
                "echo",
                "leave",
                "record",
                "record_call",
                "hangup",
                "gather",
                "pay",
                "pickup",
                "park"
            ])
        );
    }
}
