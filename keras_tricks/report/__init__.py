"""Reports on training runs, evaluations and data sets, as pages."""

from keras_tricks.report.batch_figure import (
    write_batch_figure as write_batch_figure,
)
from keras_tricks.report.batch_stages import BatchStages as BatchStages
from keras_tricks.report.batch_stages import batch_stages as batch_stages
from keras_tricks.report.comparison_report import (
    write_comparison_report as write_comparison_report,
)
from keras_tricks.report.contrasts import Contrast as Contrast
from keras_tricks.report.contrasts import Decision as Decision
from keras_tricks.report.contrasts import Rule as Rule
from keras_tricks.report.contrasts import decide as decide
from keras_tricks.report.data_report import verdicts as verdicts
from keras_tricks.report.data_report import (
    write_data_report as write_data_report,
)
from keras_tricks.report.evaluation_report import (
    write_evaluation_report as write_evaluation_report,
)
from keras_tricks.report.multi_label_report import (
    write_multi_label_report as write_multi_label_report,
)
from keras_tricks.report.run_folder import Run as Run
from keras_tricks.report.run_folder import read_run as read_run
from keras_tricks.report.run_report import write_run_report as write_run_report
