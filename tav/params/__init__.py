"""params.yaml as frozen, checked models: every knob's type, unit and range, once.

Nothing heavy is imported here.
"""

from tav.complaints import UserError as UserError
from tav.params.controls import Condition as Condition
from tav.params.controls import Control as Control
from tav.params.editing import BY_VIDEO_MODEL as BY_VIDEO_MODEL
from tav.params.editing import ON_TUNED as ON_TUNED
from tav.params.editing import Edit as Edit
from tav.params.editing import Reference as Reference
from tav.params.embedded import Embedded as Embedded
from tav.params.embedded import parse_settings as parse_settings
from tav.params.embedded import settings_text as settings_text
from tav.params.evaluating import Evaluate as Evaluate
from tav.params.keys import check_key as check_key
from tav.params.keys import is_key as is_key
from tav.params.project import Params as Params
from tav.params.project import Video as Video
from tav.params.project import VideoEdit as VideoEdit
from tav.params.reading import check as check
from tav.params.reading import load as load
from tav.params.reading import read_quickly as read_quickly
from tav.params.reading import read_yaml as read_yaml
from tav.params.reading import user_errors as user_errors
from tav.params.sections import Base as Base
from tav.params.sections import Caption as Caption
from tav.params.sections import Compute as Compute
from tav.params.sections import Extract as Extract
from tav.params.sections import Fit as Fit
from tav.params.sections import Invert as Invert
from tav.params.sections import Lora as Lora
from tav.params.sections import Model as Model
from tav.params.sections import Reader as Reader
from tav.params.sections import Section as Section
from tav.params.sections import Window as Window
from tav.params.sources import split_source as split_source
from tav.params.tuning import Tune as Tune
from tav.params.where import Attention as Attention
from tav.params.where import Mask as Mask
