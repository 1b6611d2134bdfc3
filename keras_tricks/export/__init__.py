"""Trained networks for other runtimes, verified before they are kept."""

from keras_tricks.export.examples import example_inputs as example_inputs
from keras_tricks.export.export_model import ExportReport as ExportReport
from keras_tricks.export.export_model import export_model as export_model
from keras_tricks.export.formats import FORMATS as FORMATS
from keras_tricks.export.formats import check_format as check_format
from keras_tricks.surgery.with_precision import with_precision as with_precision
