# Integrated loudness of a 16-bit WAV file as pyloudnorm has it, LUFS: tools/python loudness.py FILE
import sys
import wave

import numpy
import pyloudnorm

with wave.open(sys.argv[1]) as sound:
    rate, channels = sound.getframerate(), sound.getnchannels()
    samples = numpy.frombuffer(sound.readframes(sound.getnframes()), dtype="<i2")
print(pyloudnorm.Meter(rate).integrated_loudness(samples.reshape(-1, channels) / 32768.0))
