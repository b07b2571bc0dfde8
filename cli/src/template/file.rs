//! A template on disk, with what it imports and the alerts that it waits for; and what is wrong with them, shown beside the
//! lines in which it stands.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, anyhow};
use flame_api::orchestrator::NewDeployment;
use flame_tosca::document::DOCUMENT_MAX_BYTES;
use flame_tosca::template::Given;
use flame_tosca::{DocumentError, Template, alerts};

use super::export::{ARCHIVE_MAX_BYTES, Opened, opened};
use crate::args;
use crate::exit::Exit;

/// What was read.
pub struct TemplateFile {
    pub template: Template,
    /// The same, as the orchestrator is given it.
    pub request: NewDeployment,
}

// === impl TemplateFile ===

impl TemplateFile {
    pub fn read(args: &args::TemplateFile) -> Result<Self, Exit> {
        let archive = archive(&args.file)?;
        let text = match &archive {
            Some(archive) => archive.template.clone(),
            None => read(&args.file)?,
        };
        let folder = args.file.parent().unwrap_or(Path::new(""));
        let inputs: BTreeMap<String, String> = args.inputs.iter().cloned().collect();
        let imports = RefCell::new(BTreeMap::new());
        let import = |path: &str| {
            let text = match &archive {
                Some(archive) => archive.import(path)?,
                None => read(&folder.join(path)).ok()?,
            };
            imports.borrow_mut().insert(path.to_owned(), text.clone());
            Some(text)
        };
        let given = Given { inputs: &inputs, instance: args.instance.as_deref(), import: &import };
        let template = flame_tosca::read(&text, given);
        let template = template.map_err(|errors| wrong(&args.file, &text, &errors, &import))?;
        let alerts = args.alerts.as_deref().map(|path| Ok::<_, Exit>((path, read(path)?))).transpose()?;
        // Those of the archive, where no others are named.
        let packed =
            archive.as_ref().and_then(|archive| archive.alerts.clone()).map(|text| (args.file.as_path(), text));
        let alerts = alerts.or(packed);
        if let Some((path, text)) = &alerts {
            alerts::check(&template, text).map_err(|errors| wrong(path, text, &errors, &import))?;
        }
        let (instance, alerts) = (args.instance.clone(), alerts.map(|(_, text)| text));
        let request = NewDeployment { template: text, imports: imports.take(), inputs, instance, alerts };
        Ok(Self { template, request })
    }
}

/// What is in a file that is an archive (CSAR); nothing of one that is none.
fn archive(path: &Path) -> Result<Option<Opened>, Exit> {
    let is_one = path.extension().is_some_and(|extension| extension == "csar" || extension == "zip");
    if !is_one {
        return Ok(None);
    }
    let length =
        std::fs::metadata(path).with_context(|| format!("read {}", path.display())).map_err(Exit::usage)?.len();
    if length > ARCHIVE_MAX_BYTES {
        return Err(Exit::usage(anyhow!("{} is longer than {ARCHIVE_MAX_BYTES} bytes", path.display())));
    }
    let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display())).map_err(Exit::usage)?;
    opened(&bytes).map(Some).with_context(|| format!("{} is no archive of TOSCA", path.display())).map_err(Exit::usage)
}

fn read(path: &Path) -> Result<String, Exit> {
    let length = std::fs::metadata(path).with_context(|| format!("read {}", path.display()));
    if length.map_err(Exit::usage)?.len() > DOCUMENT_MAX_BYTES as u64 {
        return Err(Exit::usage(anyhow!("{} is longer than {DOCUMENT_MAX_BYTES} bytes", path.display())));
    }
    std::fs::read_to_string(path).with_context(|| format!("read {}", path.display())).map_err(Exit::usage)
}

/// All that is wrong, each with its line.
fn wrong(path: &Path, text: &str, errors: &[DocumentError], import: &dyn Fn(&str) -> Option<String>) -> Exit {
    let mut shown = String::new();
    for error in errors {
        let (file, text) = match &error.file {
            Some(file) => (file.clone(), import(file).unwrap_or_default()),
            None => (path.display().to_string(), text.to_owned()),
        };
        let (line, column) = (error.line, error.column);
        shown.push_str(&format!("{file}:{line}:{column}: {}\n", error.reason));
        let index = usize::try_from(line).unwrap_or_default().saturating_sub(1);
        if let Some(said) = text.lines().nth(index) {
            let pad = " ".repeat(usize::try_from(column).unwrap_or_default().saturating_sub(1));
            shown.push_str(&format!("{line:>5} | {said}\n      | {pad}^\n"));
        }
    }
    let count = errors.len();
    Exit::usage(anyhow!("{count} {} wrong\n{}", if count == 1 { "thing is" } else { "things are" }, shown.trim_end()))
}
