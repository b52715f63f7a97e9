"""Children that tests fork are able to do what a build does, whatever has run in the tests' process before."""

import cv2
import numpy as np
from children import forked, status_of


def test_a_forked_child_sets_the_threads_of_opencv_though_its_parent_used_some() -> None:
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        cv2.resize(np.zeros((1000, 1000), np.float32), (2000, 2000))  # begins the threads
        assert status_of(forked(lambda: cv2.setNumThreads(1))) == 0
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)
