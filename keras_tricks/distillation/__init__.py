"""Knowledge distillation: a student, its teachers, stored logits."""

from keras_tricks.distillation.adapt_images import AdaptImages as AdaptImages
from keras_tricks.distillation.check_teacher import (
    TeacherReport as TeacherReport,
)
from keras_tricks.distillation.check_teacher import (
    check_teacher as check_teacher,
)
from keras_tricks.distillation.distiller import Distiller as Distiller
from keras_tricks.distillation.feature_match import FeatureMatch as FeatureMatch
from keras_tricks.distillation.offline import (
    precompute_logits as precompute_logits,
)
from keras_tricks.distillation.offline import (
    with_teacher_logits as with_teacher_logits,
)
