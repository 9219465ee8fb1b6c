//! Parquet, compressed by Snappy: the columns of CSV with their types, absent where CSV has an empty cell. A time of day is
//! text, since one column may hold times whose zone is known and times whose is not.

use std::io::{self, Write};
use std::sync::Arc;

use ::parquet::basic::{Compression, LogicalType, Repetition, Type as PhysicalType};
use ::parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use ::parquet::errors::{ParquetError, Result as ParquetResult};
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use ::parquet::schema::types::Type;

use super::flat::{Cell, FlatRow, Row};
use crate::{Error, ErrorKind, Result, TOOL};

/// Rows that are held until they are written, column by column: one row group.
const MAX_GROUP_ROWS: usize = 64 * 1024;
/// Bytes of text that are held.
const MAX_GROUP_TEXT: usize = 16 << 20;

pub struct ParquetRows<W: Write + Send> {
    out: SerializedFileWriter<Sink<W>>,
    columns: Vec<Column>,
    rows: usize,
}

/// Where the bytes go, until it is given back: the crate's own way to do so makes a text of the system's error.
struct Sink<W>(Option<W>);

/// What is held of a column.
enum Column {
    Text(Texts),
    Integer(Vec<Option<i64>>),
    Double(Vec<Option<f64>>),
}

/// Texts one behind the other; one that repeats the text before it is held once.
#[derive(Default)]
struct Texts {
    bytes: Vec<u8>,
    /// Start and end of each.
    places: Vec<Option<(u32, u32)>>,
    last: (u32, u32),
}

impl<W: Write + Send> ParquetRows<W> {
    pub fn new(out: W) -> Result<Self> {
        let row = FlatRow::default();
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        for (name, cell) in row.cells() {
            let column = Column::new(&cell);
            fields.push(Arc::new(column.schema(name).map_err(failed)?));
            columns.push(column);
        }
        let schema = Type::group_type_builder("percept").with_fields(fields).build().map_err(failed)?;
        let properties = WriterProperties::builder()
            .set_created_by(TOOL.to_string())
            .set_compression(Compression::SNAPPY)
            // Those of pages would be held for the whole file until its end.
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .build();
        let out = SerializedFileWriter::new(Sink(Some(out)), Arc::new(schema), Arc::new(properties))
            .map_err(failed)?;
        Ok(Self { out, columns, rows: 0 })
    }

    pub(super) fn write(&mut self, row: &Row) -> Result<()> {
        for flat in row.flat() {
            for (column, (_, cell)) in self.columns.iter_mut().zip(flat.cells()) {
                column.push(cell)?;
            }
            self.rows += 1;
            let text: usize = self.columns.iter().map(Column::text).sum();
            if self.rows == MAX_GROUP_ROWS || text >= MAX_GROUP_TEXT {
                self.write_group().map_err(failed)?;
            }
        }
        Ok(())
    }

    pub fn finish(mut self) -> Result<W> {
        if self.rows > 0 {
            self.write_group().map_err(failed)?;
        }
        self.out.finish().map_err(failed)?;
        let sink = self.out.inner_mut().0.take();
        sink.ok_or_else(|| Error::new(ErrorKind::Internal, "the sink of Parquet is gone; please report this"))
    }

    fn write_group(&mut self) -> ParquetResult<()> {
        let mut group = self.out.next_row_group()?;
        for column in &mut self.columns {
            let mut out =
                group.next_column()?.ok_or_else(|| ParquetError::General("a column is missing".into()))?;
            column.write(&mut out)?;
            out.close()?;
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }
}

impl Column {
    /// Of the cell's type, empty.
    fn new(cell: &Cell) -> Self {
        match cell {
            Cell::Text(_) => Self::Text(Texts::default()),
            Cell::Integer(_) => Self::Integer(Vec::new()),
            Cell::Double(_) => Self::Double(Vec::new()),
        }
    }

    fn schema(&self, name: &str) -> ParquetResult<Type> {
        let (physical, logical) = match self {
            Self::Text(_) => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
            Self::Integer(_) => (PhysicalType::INT64, None),
            Self::Double(_) => (PhysicalType::DOUBLE, None),
        };
        let builder = Type::primitive_type_builder(name, physical).with_logical_type(logical);
        builder.with_repetition(Repetition::OPTIONAL).build()
    }

    fn push(&mut self, cell: Cell) -> Result<()> {
        match (self, cell) {
            (Self::Text(texts), Cell::Text(text)) => texts.push(text)?,
            (Self::Integer(values), Cell::Integer(value)) => values.push(value),
            (Self::Double(values), Cell::Double(value)) => values.push(value),
            _ => {
                return Err(Error::new(ErrorKind::Internal, "a column changes its type; please report this"));
            }
        }
        Ok(())
    }

    /// Bytes of text that are held.
    fn text(&self) -> usize {
        match self {
            Self::Text(texts) => texts.bytes.len(),
            Self::Integer(_) | Self::Double(_) => 0,
        }
    }

    /// Writes what is held, and holds nothing afterwards.
    fn write(&mut self, out: &mut SerializedColumnWriter) -> ParquetResult<()> {
        match self {
            Self::Text(texts) => {
                let all = ByteArray::from(std::mem::take(&mut texts.bytes));
                let text = |(start, end): (u32, u32)| all.slice(start as usize, (end - start) as usize);
                texts.last = (0, 0);
                write_cells::<ByteArrayType>(out, texts.places.drain(..).map(|place| place.map(text)))
            }
            Self::Integer(values) => write_cells::<Int64Type>(out, values.drain(..)),
            Self::Double(values) => write_cells::<DoubleType>(out, values.drain(..)),
        }
    }
}

impl Texts {
    fn push(&mut self, text: Option<&str>) -> Result<()> {
        let Some(text) = text else {
            self.places.push(None);
            return Ok(());
        };
        let (start, end) = self.last;
        if self.bytes.get(start as usize..end as usize) != Some(text.as_bytes()) {
            let start = self.bytes.len();
            let place = u32::try_from(start).ok().zip(u32::try_from(start + text.len()).ok());
            self.last = place.ok_or_else(|| {
                Error::new(ErrorKind::Limit, "a row holds a text too long for Parquet; write JSON lines")
            })?;
            self.bytes.extend_from_slice(text.as_bytes());
        }
        self.places.push(Some(self.last));
        Ok(())
    }
}

impl<W: Write> Write for Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.as_mut().map_or(Ok(0), |out| out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), Write::flush)
    }
}

fn write_cells<T: DataType>(
    out: &mut SerializedColumnWriter,
    cells: impl Iterator<Item = Option<T::T>>,
) -> ParquetResult<()> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    for cell in cells {
        // Level 1 is a value, 0 none.
        levels.push(i16::from(cell.is_some()));
        values.extend(cell);
    }
    out.typed::<T>().write_batch(&values, Some(&levels), None)?;
    Ok(())
}

/// What the sink says comes first: a disk that is full is no defect of ours.
fn failed(error: ParquetError) -> Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(io) => super::sink_failed(*io),
            Err(other) => Error::new(ErrorKind::Internal, format!("Parquet: {other}; please report this")),
        },
        other => Error::new(ErrorKind::Internal, format!("{other}; please report this")),
    }
}
