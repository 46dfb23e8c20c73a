//! `config`: the settings, as a file to start from or as they stand.

use std::io::Write as _;

use serde_json::{Map, Value};

use crate::args::{Config, Output};
use crate::configuration::{self, Configuration, Purpose};
use crate::exit::Exit;
use crate::render::{DIM, visible, write_json_pretty};

pub(super) fn run(config: &Config) -> anyhow::Result<Exit> {
    let mut out = anstream::stdout().lock();
    if !config.effective {
        out.write_all(configuration::defaults_file().as_bytes())?;
        return Ok(Exit::Ok);
    }
    let configuration = Configuration::read(&config.settings, Purpose::Show);
    let configuration = configuration.map_err(|rejected| rejected.told_as(config.output))?;
    match config.output {
        Output::Human => {
            for entry in &configuration.entries {
                let origin = visible(&entry.origin.to_string());
                match &entry.value {
                    Value::Null => writeln!(out, "{DIM}# {} is unset{DIM:#}", entry.name)?,
                    value => writeln!(out, "{} = {value}  {DIM}# {origin}{DIM:#}", entry.name)?,
                }
            }
        }
        Output::Json => {
            let members: Map<_, _> = configuration
                .entries
                .iter()
                .map(|entry| {
                    let mut value = entry.origin.object();
                    if let Some(members) = value.as_object_mut() {
                        members.insert("Value".to_owned(), entry.value.clone());
                    }
                    (entry.name.clone(), value)
                })
                .collect();
            write_json_pretty(&mut out, &members)?;
        }
    }
    Ok(Exit::Ok)
}
