"""The figures of the paper, as printed: Tables 1 to 6. None of them is ours."""

from typing import Literal

HMDB, UCF, KINETICS = "HMDB-51", "UCF-101", "Kinetics-n50"
DATASETS = {"hmdb51": HMDB, "ucf101": UCF, "kinetics_n50": KINETICS}  # our names of the paper's datasets

# Table 1: a column for each method; TITAN RTX, 16 frames, one crop. The columns of flow state GFLOPs as printed,
# though they are those of the I- and the P-stream.
TABLE1_METHODS = ("TSN", "I3D", "CoViAR", "DMC-Net", "I-stream", "P-stream", "IP TSN", "OF", "I + OF")
TABLE1 = {
    "preprocessing, ms": ("1200", "1200", "14.7", "14.7", "3.3", "11.4", "14.7", "1200", "1200"),
    "spatial stream, ms": ("12.2", "45.5", "55.3", "55.3", "43.1", "-", "43.1", "-", "43.1"),
    "temporal stream, ms": ("12.2", "33.7", "-", "12.8", "-", "8.5", "8.5", "8.5", "8.5"),
    "total, ms": ("1224.4", "1279.2", "70", "82.8", "46.4", "8.5", "66.3", "1208.5", "1251.6"),
    "videos/s": ("0.8", "0.8", "14.3", "12.1", "21.5", "50.2", "15.1", "0.8", "0.8"),
    "GFLOPs": ("33 + 33", "436 + 401", "243.4", "275.6", "185.6", "33.9", "219.5", "185.6", "33.9"),
    HMDB: ("68.5", "80.7", "56.5", "59.0", "51.5", "61.8", "68.7", "60.0", "69.2"),
    UCF: ("94.0", "98.0", "89.7", "90.3", "86.7", "87.1", "93.4", "84.9", "93.7"),
    KINETICS: ("-", "-", "48.1", "48.6", "45.7", "23.2", "49.6", "19.1", "49.3"),
}


def table1(row: str, method: str) -> float:
    """A figure of Table 1."""
    return float(TABLE1[row][TABLE1_METHODS.index(method)])


# Table 2: with and without the teacher.
TABLE2 = {
    "CoViAR + MR": ("59.1", "90.2"),
    "CoViAR + DMC": ("61.8", "90.9"),
    "CoViAR + MR w/ OF-T": ("62.1", "91.1"),
    "I + MR": ("64.9", "92.5"),
    "I + MR w/ OF-T": ("69.1", "93.4"),
}

# Table 3: weights of the L1 distance and of soft labels; HMDB-51.
TABLE3 = {(0, 50): "66.0", (25, 50): "67.1", (25, 25): "68", (50, 50): "68", (50, 0): "69.1"}

# Table 4, by the last stage that is 2D: the name of the row; HMDB-51, split 3; GFLOPs of the P-stream. The paper says
# that conv1.x is a 3D ResNet, and conv5.x a 2D one.
TABLE4: dict[Literal["none", "conv2", "conv3", "conv4", "conv5"], tuple[str, str, str]] = {
    "none": ("conv1.x", "61.4", "86"),
    "conv2": ("conv2.x", "70.2", "50"),
    "conv3": ("conv3.x", "69.6", "34"),
    "conv4": ("conv4.x", "66.5", "35"),
    "conv5": ("conv5.x", "62.1", "29"),
}

# Table 5: depth of the I-stream ("2D-3D" is a ResNet-18), segments of both, crops of I; I, P, videos/s, both.
TABLE5 = {
    ("2D-3D ResNet-18", 16, 1): ("-", "61.9", "-", "66.8"),
    ("ResNet-18", 8, 1): ("44.1", "53.1", "57.7", "60.1"),
    ("ResNet-18", 8, 10): ("44.6", "53.1", "26.5", "60.2"),
    ("ResNet-18", 16, 1): ("44.3", "61.9", "52.1", "66.3"),
    ("ResNet-18", 16, 10): ("45", "61.9", "13.7", "66.2"),
    ("ResNet-152", 8, 1): ("51.1", "53.1", "24", "63.4"),
    ("ResNet-152", 8, 10): ("51.4", "53.1", "4.7", "63.6"),
    ("ResNet-152", 16, 1): ("51.5", "61.9", "15.1", "68.7"),
    ("ResNet-152", 16, 10): ("51.8", "61.9", "2.4", "69.1"),
}

# Table 6: the state of the art then. Runs can fill the rows of CoViAR, of DMC-Net and of this paper.
TABLE6 = {
    "EMV-CNN": ("51.2 (split 1)", "86.4"),
    "DTMV-CNN": ("55.3", "87.5"),
    "CoViAR": ("59.1", "90.4"),
    "DMC-Net": ("61.8", "90.9"),
    "CoViAR + MR w/ OF-T, this paper": ("62.1", "91.1"),
    "IP TSN, this paper": ("69.1", "93.4"),
    "ResNet-50, RGB": ("48.9", "82.3"),
    "ResNet-152, RGB": ("46.7", "83.4"),
    "ActionFlowNet, RGB": ("56.4", "83.9"),
    "PWC-Net + CoViAR, RGB": ("62.2", "90.6"),
    "TVNet, RGB": ("71.0", "94.5"),
    "ECO, 16 frames, RGB": ("68.5", "92.8"),
    "ECO ensemble, RGB": ("72.4", "94.8"),
    "Two-stream, RGB + flow": ("59.4", "88.0"),
    "Two-stream fusion, RGB + flow": ("65.4", "92.5"),
    "I3D, RGB + flow": ("80.7", "98.0"),
    "R(2+1)D, RGB + flow": ("78.7", "97.3"),
}
