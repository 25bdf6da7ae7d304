//! Words about what the pair tells: alarms, metrics, drills.

use clap::{Args, Subcommand};
use control::cluster::Request;
use control::telling::{self, Change, DrillTime, Language};

use crate::failure::Failure;
use crate::words::LanguageWord;

/// Who is told of alarms.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Alarm {
    /// Show the alarms there are, and where they go
    List,
    /// Send a test to every place alarms go to
    Test,
    /// Change where alarms go
    Set(AlarmPlaces),
}

/// Where alarms go.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[group(required = true, multiple = true)]
pub struct AlarmPlaces {
    /// Mail addresses with commas, or none
    #[arg(long)]
    pub mail: Option<String>,
    /// udp://HOST, tcp://HOST or tls://HOST for syslog, with commas, or none
    #[arg(long)]
    pub syslog: Option<String>,
    /// http:// or https:// addresses with commas, or none
    #[arg(long)]
    pub webhook: Option<String>,
    /// Language of what is sent: en or zh
    #[arg(long, value_name = "LANGUAGE", hide_possible_values = true)]
    pub words_in: Option<LanguageWord>,
}

/// Numbers for Prometheus.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Metrics {
    /// Show where they are, and who may read
    Show,
    /// Change that
    Set {
        /// TCP port at each box's own addresses, usually 9464; 0 is off
        #[arg(long)]
        port: Option<u16>,
        /// Addresses and networks that may read, with commas, or none for everybody
        #[arg(long)]
        networks: Option<String>,
    },
}

impl Alarm {
    /// What is asked of the cluster service.
    pub fn request(self) -> Request {
        Request::Telling(match self {
            Self::List => telling::Request::Show,
            Self::Test => telling::Request::Test,
            Self::Set(places) => telling::Request::Set(Change {
                mail: places.mail.map(|text| listed(&text)),
                syslog: places.syslog.map(|text| listed(&text)),
                webhook: places.webhook.map(|text| listed(&text)),
                language: places.words_in.map(|word| match word {
                    LanguageWord::En => Language::En,
                    LanguageWord::Zh => Language::Zh,
                }),
                ..Change::default()
            }),
        })
    }
}

impl Metrics {
    /// What is asked of the cluster service.
    pub fn request(self) -> Request {
        Request::Telling(match self {
            Self::Show => telling::Request::Show,
            Self::Set { port, networks } => telling::Request::Set(Change {
                metrics_port: port,
                metrics_networks: networks.map(|text| listed(&text)),
                ..Change::default()
            }),
        })
    }
}

/// The schedule of drills: `sun 03:30`, `daily 03:30` or `off`.
pub fn schedule(words: &[String]) -> Result<Request, Failure> {
    let text = words.join(" ");
    let drill = if matches!(text.as_str(), "off" | "none") {
        None
    } else {
        Some(text.parse::<DrillTime>().map_err(|error| Failure::Refused(error.to_string()))?)
    };
    let change = Change { drill: Some(drill), ..Change::default() };
    Ok(Request::Telling(telling::Request::Set(change)))
}

fn listed(text: &str) -> Vec<String> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty() && *word != "none");
    words.map(str::to_owned).collect()
}
