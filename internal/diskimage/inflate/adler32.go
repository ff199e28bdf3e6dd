package inflate

import "encoding/binary"

const (
	adlerMod = 65521

	// adlerWords is how many words of 8 bytes are summed in lanes of 16 bits. It is the most whose lanes hold: see adler32.
	adlerWords = 15
	adlerRun   = 8 * adlerWords
)

// adler32 is the checksum of RFC 1950, section 9, eight bytes at a time: a word is taken apart into its bytes of even and of odd places, in four
// lanes of 16 bits each. Per lane, sum is the sum of its bytes, and running is the sum of all values that sum has had, which counts a byte as often as
// there are words from it to the end of the run. A lane of running is 255*15*16/2 = 30600 at most, so two of them may be added.
func adler32(p []byte) uint32 {
	const lanes = 0x00ff00ff00ff00ff
	a, b := uint64(1), uint64(0)
	for ; len(p) >= adlerRun; p = p[adlerRun:] {
		var sumEven, sumOdd, runningEven, runningOdd uint64
		for run := p[:adlerRun]; len(run) >= 8; run = run[8:] {
			w := binary.LittleEndian.Uint64(run)
			sumEven += w & lanes
			sumOdd += w >> 8 & lanes
			runningEven += sumEven
			runningOdd += sumOdd
		}
		// Byte j of a word counts 8 times for each word from its own on, less j.
		b += adlerRun*a + 8*addLanes(runningEven+runningOdd) - 2*weighLanes(sumEven+sumOdd) - addLanes(sumOdd)
		a += addLanes(sumEven + sumOdd)
		a, b = a%adlerMod, b%adlerMod
	}
	for _, x := range p {
		a += uint64(x)
		b += a
	}
	return uint32(b%adlerMod)<<16 | uint32(a%adlerMod)
}

// addLanes adds the four lanes of w.
func addLanes(w uint64) uint64 {
	w = w&0x0000ffff0000ffff + w>>16&0x0000ffff0000ffff
	return w&0xffffffff + w>>32
}

// weighLanes is the sum of the four lanes of w, the second once, the third twice, the fourth three times.
func weighLanes(w uint64) uint64 {
	return w>>16&0xffff + w>>32&0xffff*2 + w>>48*3
}
