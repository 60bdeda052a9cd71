//! Schemas that a derive cannot make.

use utoipa::openapi::schema::{
    ArrayBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, SchemaType, Type,
};

/// A list, or null: up to `ITEMS` texts of 1 to `LENGTH` characters.
pub(crate) fn texts<const ITEMS: usize, const LENGTH: usize>() -> Schema {
    let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(LENGTH));
    ArrayBuilder::new().schema_type(nullable(Type::Array)).items(text).max_items(Some(ITEMS)).build().into()
}

/// US dollars with at most two decimals, 0 to `DOLLARS` and `CENTS`: a number or its decimal text.
pub(crate) fn usd<const DOLLARS: u32, const CENTS: u32>() -> Schema {
    amount::<DOLLARS, CENTS>().build().into()
}

/// As [`usd`], or null.
pub(crate) fn optional_usd<const DOLLARS: u32, const CENTS: u32>() -> Schema {
    amount::<DOLLARS, CENTS>().item(ObjectBuilder::new().schema_type(Type::Null)).build().into()
}

fn amount<const DOLLARS: u32, const CENTS: u32>() -> OneOfBuilder {
    let most = f64::from(DOLLARS) + f64::from(CENTS) / 100.0;
    let number = ObjectBuilder::new()
        .schema_type(Type::Number)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Double)))
        .minimum(Some(0.0))
        .maximum(Some(most));
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(r"^\d{1,8}(\.\d{1,2})?$"));
    OneOfBuilder::new().item(number).item(text)
}

fn nullable(schema_type: Type) -> SchemaType {
    SchemaType::Array(vec![schema_type, Type::Null])
}
