"""What a user may read when something is wrong: found, expected, what to do."""


class AnomalyError(Exception):
    """Base of every error this package raises about the user's input."""


class DataError(AnomalyError, ValueError):
    """A folder, image or mask cannot be used as it is."""


class ImageError(DataError):
    """One image cannot be read or has unusable pixels; the message names the file."""


class RecipeError(AnomalyError, ValueError):
    """A recipe or one of its knobs has an impossible value."""


class TrainingError(AnomalyError, RuntimeError):
    """Training cannot go on; the message names step, learning rate and image.

    ``image`` is the index of the training image it happened in, where there is one.
    """

    def __init__(self, message: str, image: int | None = None) -> None:
        super().__init__(message)
        self.image = image


class CalibrationError(AnomalyError, ValueError):
    """The held-out normals cannot support what was asked of them."""


class CheckpointError(AnomalyError, ValueError):
    """A detector file is damaged, of an unknown version, or not ours."""


class DataWarning(UserWarning):
    """Part of the input was left out or is suspicious; the message names the file."""
