//! `flame asset export`: the catalogue, or what a filter wants of it, as NDJSON, schema.org JSON-LD or a CSV manifest.
//!
//! One page of assets is held at a time. A file appears under its name when all of it is there.

use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, anyhow};
use flame_api::Client;
use flame_api::metadata::{Asset, AssetQuery, FacetQuery};

use super::exchange;
use crate::args::{Export, Form, Global};
use crate::connection;
use crate::exit::Exit;
use crate::ingest::share;
use crate::output::{self, Progress};

/// Items asked for at once.
const PAGE: u32 = 200;

/// Where an export goes, in its form.
struct Sheet<'a> {
    form: Form,
    out: &'a mut dyn Write,
    written: u64,
}

/// Writes what `args` want; says how many on standard error, for standard output may be the export.
pub async fn run(global: &Global, client: &Client, args: Export) -> Result<(), Exit> {
    let written = match &args.output {
        None => write(client, &args, &mut std::io::stdout().lock(), global.json).await?,
        Some(path) => to_file(client, &args, path, global.json).await?,
    };
    if global.json && args.output.is_some() {
        return output::print_json(&serde_json::json!({ "exported": written }));
    }
    eprintln!("exported {written} assets");
    Ok(())
}

/// Writes what `args` want into a file, which is there when all of it is; how many.
pub async fn to_file(client: &Client, args: &Export, path: &Path, quiet: bool) -> Result<u64, Exit> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::NamedTempFile::new_in(folder).with_context(|| format!("write into {}", folder.display()))?;
    let mut out = BufWriter::new(file);
    let written = write(client, args, &mut out, quiet).await?;
    let file = out.into_inner().map_err(|error| anyhow!("write {}: {}", path.display(), error.error()))?;
    file.as_file().sync_all().with_context(|| format!("write {}", path.display()))?;
    file.persist(path).with_context(|| format!("write {}", path.display()))?;
    Ok(written)
}

async fn write(client: &Client, args: &Export, out: &mut dyn Write, quiet: bool) -> Result<u64, Exit> {
    let (q, filter) = ((!args.words.is_empty()).then(|| args.words.join(" ")), args.filter.clone());
    let counted = FacetQuery { by: "state".to_owned(), q: q.clone(), state: None, filter: filter.clone() };
    let all = client.facets(&counted).await?.matches;
    let mut progress = Progress::new("export", quiet);
    let mut sheet = Sheet { form: args.format, out, written: 0 };
    sheet.begin()?;
    let mut query = AssetQuery { q, filter, limit: Some(PAGE), ..AssetQuery::default() };
    loop {
        let page = client.assets(&query).await?;
        for asset in &page.items {
            let plays = asset.version.is_some().then(|| connection::play_url(client.router(), asset.id).to_string());
            sheet.add(asset, plays.as_deref())?;
        }
        progress.set(share(sheet.written, all.count.max(sheet.written)), &format!("{} of {all}", sheet.written));
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    sheet.end()?;
    Ok(sheet.written)
}

// === impl Sheet ===

impl Sheet<'_> {
    fn begin(&mut self) -> anyhow::Result<()> {
        match self.form {
            Form::Ndjson => {}
            Form::Jsonld => write!(self.out, "{{\"@context\":\"https://schema.org\",\"@graph\":[")?,
            Form::Csv => self.row(&exchange::header())?,
        }
        Ok(())
    }

    fn add(&mut self, asset: &Asset, plays: Option<&str>) -> anyhow::Result<()> {
        match self.form {
            Form::Ndjson => writeln!(self.out, "{}", serde_json::to_string(asset)?)?,
            Form::Jsonld => {
                let comma = if self.written > 0 { "," } else { "" };
                write!(self.out, "{comma}\n{}", exchange::json_ld(asset, plays)?)?;
            }
            Form::Csv => self.row(&exchange::row(asset)?)?,
        }
        self.written += 1;
        Ok(())
    }

    fn end(&mut self) -> anyhow::Result<()> {
        if self.form == Form::Jsonld {
            writeln!(self.out, "\n]}}")?;
        }
        Ok(self.out.flush()?)
    }

    fn row(&mut self, cells: &[impl AsRef<[u8]>]) -> anyhow::Result<()> {
        let mut writer = csv::Writer::from_writer(&mut *self.out);
        writer.write_record(cells)?;
        Ok(writer.flush()?)
    }
}
