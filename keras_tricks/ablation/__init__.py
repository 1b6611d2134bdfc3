"""Which tricks help: designs, runs, decisions, a recommended recipe."""

from keras_tricks.ablation.compare_runs import compare_runs as compare_runs
from keras_tricks.ablation.cost import read_budget as read_budget
from keras_tricks.ablation.finish import finish_sweep as finish_sweep
from keras_tricks.ablation.plan_sweep import plan_sweep as plan_sweep
from keras_tricks.ablation.recommend import recommend as recommend
from keras_tricks.ablation.results import read_results as read_results
from keras_tricks.ablation.run_sweep import Budget as Budget
from keras_tricks.ablation.run_sweep import run_sweep as run_sweep
from keras_tricks.ablation.search import search as search
from keras_tricks.ablation.search import searchable as searchable
from keras_tricks.ablation.sweep import Sweep as Sweep
from keras_tricks.ablation.sweep import load_sweep as load_sweep
from keras_tricks.ablation.sweep import make_sweep as make_sweep
from keras_tricks.ablation.tricks import PAPER as PAPER
from keras_tricks.ablation.tricks import TRICKS as TRICKS
from keras_tricks.ablation.tricks import read_trick as read_trick
from keras_tricks.ablation.tune import tune as tune
