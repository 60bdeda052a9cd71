//! Unpacks the parts of Swagger UI that the reference page needs from the crate that carries it.

use std::{borrow::Cow, env, error::Error, fs::File, io, io::Cursor, path::Path};

use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

const PARTS: [&str; 2] = ["swagger-ui.css", "swagger-ui-bundle.js"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    let out = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
    let names = archive.file_names().map(|name| name.map(Cow::into_owned)).collect::<Result<Vec<_>, _>>()?;
    for part in PARTS {
        // The first folder is named after the version.
        let is_part = |name: &&String| name.split_once('/').is_some_and(|(_, path)| path == format!("dist/{part}"));
        let name = names.iter().find(is_part).ok_or_else(|| format!("Swagger UI has no {part}"))?;
        io::copy(&mut archive.by_name(name)?, &mut File::create(Path::new(&out).join(part))?)?;
    }
    Ok(())
}
