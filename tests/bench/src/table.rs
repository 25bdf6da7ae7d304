//! Figures, and the table a person reads.

use serde::Serialize;

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Rates.
    More,
    /// Times and sizes.
    Less,
}

/// One measured figure.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// Which work.
    pub work: String,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
    /// The server's CPU seconds for 1,000 operations, where that says something.
    pub cpu_s_per_1000: Option<f64>,
}

impl Figure {
    /// A figure without CPU.
    pub fn plain(work: &str, value: f64, unit: &'static str, better: Better) -> Self {
        Self { work: work.to_owned(), value, unit, better, cpu_s_per_1000: None }
    }
}

/// Prints ours beside theirs.
pub fn print(ours: &[Figure], peers: &[Figure]) {
    println!("\n{:<40}{:>24}{:>24}{:>18}", "", "Twinmail", "Postfix + Dovecot", "times as good");
    println!(
        "{:<32}{:>8}{:>12}{:>12}{:>12}{:>12}{:>9}{:>9}",
        "work", "unit", "figure", "cpu s/1000", "figure", "cpu s/1000", "figure", "cpu"
    );
    for own in ours {
        print!("{:<32}{:>8}{:>12}{:>12}", own.work, own.unit, number(own.value), cpu(own));
        if let Some(peer) = peers.iter().find(|peer| peer.work == own.work) {
            let times = match own.better {
                Better::More => ratio(own.value, peer.value),
                Better::Less => ratio(peer.value, own.value),
            };
            let cpu_times = match (own.cpu_s_per_1000, peer.cpu_s_per_1000) {
                (Some(own), Some(peer)) => ratio(peer, own),
                _ => "-".to_owned(),
            };
            print!("{:>12}{:>12}{times:>9}{cpu_times:>9}", number(peer.value), cpu(peer));
        }
        println!();
    }
}

fn number(value: f64) -> String {
    let digits = match value {
        v if v >= 100.0 => 0,
        v if v >= 1.0 => 2,
        _ => 4,
    };
    format!("{value:.digits$}")
}

fn cpu(figure: &Figure) -> String {
    figure.cpu_s_per_1000.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.3}"))
}

/// Less than one tick of the kernel's clock is no figure to divide by.
fn ratio(over: f64, under: f64) -> String {
    if under > 0.0 { format!("{:.1}x", over / under) } else { "-".to_owned() }
}
