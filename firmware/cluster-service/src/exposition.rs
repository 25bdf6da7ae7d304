//! The text form of Prometheus metrics (exposition format 0.0.4).

use std::fmt::{Display, Write};

/// What kind of number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only grows; its name ends in `_total`.
    Counter,
}

/// Metrics being written: each family once, with its help, before its samples.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

impl Exposition {
    /// One number without labels.
    pub fn one(&mut self, kind: Kind, name: &str, help: &str, value: impl Display) {
        self.family(kind, name, help).sample(&[], value);
    }

    /// One number, where it is known.
    pub fn maybe(&mut self, kind: Kind, name: &str, help: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.one(kind, name, help, value);
        }
    }

    /// Begins a family.
    pub fn family<'a>(&'a mut self, kind: Kind, name: &'a str, help: &str) -> Family<'a> {
        self.head(if kind == Kind::Gauge { "gauge" } else { "counter" }, name, help);
        Family { text: &mut self.text, name }
    }

    /// A histogram of each group; bounds and sum in microseconds, shown in seconds.
    pub fn histograms(&mut self, name: &str, help: &str, groups: &[(&str, &control::mail::Histogram)]) {
        self.head("histogram", name, help);
        for (group, histogram) in groups {
            for (bound_us, count) in &histogram.buckets {
                let le = seconds(*bound_us);
                let _ = writeln!(self.text, "{name}_bucket{{group=\"{group}\",le=\"{le}\"}} {count}");
            }
            let (sum, count) = (seconds(histogram.sum_us), histogram.count);
            let _ = writeln!(self.text, "{name}_bucket{{group=\"{group}\",le=\"+Inf\"}} {count}");
            let _ = writeln!(self.text, "{name}_sum{{group=\"{group}\"}} {sum}");
            let _ = writeln!(self.text, "{name}_count{{group=\"{group}\"}} {count}");
        }
    }

    /// Everything written.
    pub fn finish(self) -> String {
        self.text
    }

    fn head(&mut self, kind: &str, name: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }
}

/// A family whose samples are being written.
pub struct Family<'a> {
    text: &'a mut String,
    name: &'a str,
}

impl Family<'_> {
    /// One sample with its labels.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        self.text.push_str(self.name);
        if !labels.is_empty() {
            let pairs: Vec<_> =
                labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
            let _ = write!(self.text, "{{{}}}", pairs.join(","));
        }
        let _ = writeln!(self.text, " {value}");
        self
    }
}

/// Backslash, quotation mark and line feed are escaped in a label's value.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Microseconds as seconds.
pub fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

/// Milliseconds as seconds.
pub fn ms_as_seconds(ms: u64) -> f64 {
    ms as f64 / 1e3
}
