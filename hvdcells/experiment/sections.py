"""The sections of an experiment: fields, their defaults and bounds."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

REFERENCE_GLOBAL_BATCH = 256
"""The global batch for which a learning rate is given; see `optimizer.scaled_learning_rate`."""


SMALLEST_ALPHA = 0.05
"""Of mixup and cutmix: with a smaller one, what is drawn from Beta(α, α) is 0 or 1 to the last bit."""


class Section(BaseModel):
    """Fields that are set together; frozen, and unknown ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Data(Section):
    """What a rank reads and how."""

    input_size: int | None = Field(default=None, ge=16, le=1024)
    """Side of the square the model sees, in pixels; None for the size stored in the dataset."""
    validation_fold: int | None = Field(default=None, ge=0)
    """Of a dataset with folds (`hvdcells etl --split k-fold`): the fold to validate on, training on the others."""
    train_fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of the training images to train on, drawn with the experiment's seed: the same share of each class, and of
    its subjects alike. Validation and test stay whole."""
    sampling: Literal["once", "balanced"] = "once"
    """`once`: each training image once an epoch. `balanced`: images of smaller classes several times, so that all
    classes are used equally often; instead of `training.class_weights`."""
    batch_size: int = Field(default=32, ge=1)
    """Images a rank takes per step; the global batch is this times the world size."""
    shuffle_buffer: int = Field(default=1024, ge=1)
    """Images in the second level of shuffling; row groups are shuffled first."""
    reader_threads: int = Field(default=2, ge=1)
    """Threads of one rank that read and decode row groups."""
    cache_bytes: int = Field(default=1 << 30, ge=0)
    """Decoded images of a rank stay in memory when they fit in this many bytes; 0 for no cache."""


class Model(Section):
    """The classifier."""

    backbone: str = Field(default="small_cnn", pattern=r"^(\w+|\w+(\.\w+)*:\w+)$")
    """`small_cnn`, `efficientnet_lite0`, a model of `tf_keras.applications` in snake case (`mobilenet_v2`, …), or
    `package.module:function`, a function that takes the input size and returns a `tf_keras` or Keras 3 model."""
    weights: str | None = None
    """The first weights: `imagenet`, a run directory, the model.keras of a run, or a weights file of the backbone
    (.h5), each on disk or at an address such as s3://…; None for random ones."""
    preprocessing: Literal["auto", "dataset", "none"] = "auto"
    """What the backbone is given: images normalised by the channel statistics of the training split (`dataset`), or
    as they are, RGB in 0–255 (`none`). `auto` does what the weights expect; see `models.preprocessing`."""
    width: float = Field(default=1.0, gt=0)
    """Multiplies the number of filters; of the small CNN and of the MobileNets."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Before the last layer."""
    normalization: Literal["batch", "none"] = "batch"
    """Of the small CNN. Batch statistics are those of one rank's batch; moving averages are averaged over ranks."""


class Transfer(Section):
    """How a model with first weights is trained on: its head alone, then the rest. The defaults train all at once."""

    head_epochs: int = Field(default=0, ge=0)
    """The first so many of `training.epochs` train the head alone, on a frozen backbone."""
    augment_head: bool = True
    """False: the head's epochs take images as they are, so that the frozen backbone's features are computed once."""
    fine_tune_from: str | None = None
    """The backbone's first layer that is trained after them, by name; the layers before it stay frozen."""
    fine_tune_fraction: float = Field(default=1.0, gt=0, le=1)
    """The same as a share of the backbone's layers, counted from its end."""
    fine_tune_rate_factor: float = Field(default=1.0, gt=0, le=1)
    """The learning rate after the head's epochs is this times `optimizer.learning_rate`."""
    freeze_batch_norm: bool = False
    """The backbone's batch normalisation keeps its statistics, scales and shifts throughout."""

    @model_validator(mode="after")
    def _one_border(self) -> "Transfer":
        if self.fine_tune_from is not None and self.fine_tune_fraction != 1:
            raise ValueError("fine_tune_from or fine_tune_fraction, not both")
        return self

    @property
    def freezes(self) -> bool:
        """Whether anything is frozen at any time."""
        partly = self.fine_tune_from is not None or self.fine_tune_fraction < 1
        return self.head_epochs > 0 or partly or self.freeze_batch_norm


class Optimizer(Section):
    """How weights change."""

    name: Literal["sgd", "adam", "adamw"] = "adam"
    learning_rate: float = Field(default=8e-3, gt=0)
    """For a global batch of 256; scaled linearly to the run's global batch."""
    warmup_epochs: float = Field(default=1.0, ge=0)
    """Epochs over which the rate rises from zero to the scaled one."""
    schedule: Literal["cosine", "constant"] = "cosine"
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of `sgd`."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled, of `adamw` and `sgd`. Biases and the scales and shifts of normalisation layers do not decay."""
    gradient_clip_norm: float | None = Field(default=None, gt=0)
    """Global norm to which the averaged gradient is clipped; None for no clipping."""

    @model_validator(mode="after")
    def _decay_is_decoupled(self) -> "Optimizer":
        if self.name == "adam" and self.weight_decay:
            raise ValueError("weight decay is of adamw and sgd; adam with weight decay is adamw")
        return self


class Augmentation(Section):
    """Random changes to a training image. A cell has no up or down, so flips and turns lose nothing."""

    flips: bool = True
    quarter_turns: bool = True
    rotation_degrees: float = Field(default=0.0, ge=0, le=180)
    """Every image is turned about its centre by an angle drawn from ± this; what comes in from outside is black."""
    scale: float = Field(default=0.0, ge=0, lt=1)
    """Every image is enlarged about its centre by a factor drawn from 1 ± this."""
    brightness: float = Field(default=0.0, ge=0, lt=1)
    """Every image's intensity is multiplied by a factor drawn from 1 ± this."""
    contrast: float = Field(default=0.0, ge=0, lt=1)
    """Every image's distance from its own mean colour is multiplied by a factor from 1 ± this; black ground stays."""
    hue: float = Field(default=0.0, ge=0, le=0.5)
    """Every image's hue is shifted by a part of the colour circle drawn from ± this."""
    channel_gain: float = Field(default=0.0, ge=0, lt=1)
    """Every colour channel is multiplied by its own factor from 1 ± this: stains differ from subject to subject."""
    stain: float = Field(default=0.0, ge=0, lt=1)
    """The amounts of haematoxylin, eosin and the rest are each multiplied by a factor from 1 ± this and shifted by up
    to ± this, in optical density; black ground stays."""
    mixup: float = Field(default=0.0, ge=0)
    """α of mixup: an image and its label are blended with another's of the batch, by a share from Beta(α, α)."""
    cutmix: float = Field(default=0.0, ge=0)
    """α of cutmix: a box of another image is pasted in, and the labels shared by area. With mixup, one of both."""

    @field_validator("mixup", "cutmix")
    @classmethod
    def _can_be_drawn(cls, alpha: float) -> float:
        if 0 < alpha < SMALLEST_ALPHA:
            raise ValueError(f"0 for none, or at least {SMALLEST_ALPHA}")
        return alpha


NO_AUGMENTATION = Augmentation(flips=False, quarter_turns=False)


class Training(Section):
    """How long and with what precision."""

    epochs: int = Field(default=10, ge=1)
    class_weights: Literal["balanced", "none"] = "balanced"
    """`balanced` weighs an image by images / (classes · images of its class), over the training split."""
    loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    focal_gamma: float = Field(default=2.0, ge=0)
    """How much the focal loss looks away from images that are already told right; 0 is cross-entropy."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Of K classes the true one becomes 1 − s + s/K and the others s/K in training; the validation loss is always plain
    cross-entropy."""
    mixed_precision: Literal["none", "float16", "bfloat16"] = "none"
    """Compute in 16 bits with float32 weights; float16 with loss scaling, which bfloat16 has the range to do without.
    True and False, as earlier versions wrote them, are float16 and none."""
    tf32: bool = True
    """On GPUs from Ampere on, float32 products of 10 bits of mantissa, as is TensorFlow's default."""
    jit_compile: bool = False
    """Compile forward and backward pass with XLA; augmentation, exchange and update stay as they are."""
    read_every: int = Field(default=50, ge=1)
    """On GPUs, steps between two readings of the loss, which wait for the device. On CPUs every step is read."""
    measure_communication: bool = True
    """On GPUs with several workers, time some steps with and without exchange on a copy of the weights before each
    phase: in the epochs the two cannot be told apart."""
    accumulation_steps: int = Field(default=1, ge=1)
    """Batches whose gradients are summed on the rank before one allreduce and one update."""
    ema_decay: float | None = Field(default=None, ge=0, lt=1)
    """Validate and keep an exponential moving average of the weights, which keeps this share of itself in each update;
    None for the weights themselves. Batch normalisation's statistics are those of the weights themselves."""
    early_stopping_patience: int | None = Field(default=None, ge=1)
    """Epochs without a better validation score after which the run stops; None to run all epochs."""
    monitor: Literal["weighted_f1", "macro_f1", "balanced_accuracy", "kappa", "matthews", "auroc", "loss"] = (
        "weighted_f1"
    )
    """Validation score that names the best epoch."""
    select: Literal["best", "last"] = "best"
    """The epoch whose model is kept: the best by `monitor`, or the last, which chooses nothing by the validation
    images. So their scores do not flatter, as a cross-validation wants it."""

    @field_validator("mixed_precision", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        named = {"true": "float16", "false": "none"}
        return named.get(str(value).lower(), value)

    @property
    def scales_loss(self) -> bool:
        """Whether the loss is scaled so that float16 can hold its gradients."""
        return self.mixed_precision == "float16"

    @property
    def policy(self) -> str:
        """Keras' name of the precision."""
        return "float32" if self.mixed_precision == "none" else f"mixed_{self.mixed_precision}"

    @model_validator(mode="after")
    def _nothing_is_chosen(self) -> "Training":
        if self.select == "last" and self.early_stopping_patience is not None:
            raise ValueError("early_stopping_patience chooses the epoch by its validation score; select=last does not")
        return self


class Communication(Section):
    """Options of Horovod; None takes the default of `horovod_settings` for this kind of hardware."""

    compression: Literal["none", "fp16"] = "none"
    """Gradients are sent as they are or as float16."""
    cycle_time_ms: float | None = Field(default=None, gt=0)
    fusion_threshold_bytes: int | None = Field(default=None, ge=0)
    cache_capacity: int | None = Field(default=None, ge=0)
    num_groups: int | None = Field(default=None, ge=0)
    """Groups in which the gradients are reduced together; 0 lets Horovod fuse as they come."""
    gloo_gives_way: bool | None = None
    """gloo's threads take only cores that nothing else wants, instead of competing with the model for them."""
    intra_op_threads: int | None = Field(default=None, ge=1)
    inter_op_threads: int | None = Field(default=None, ge=1)
