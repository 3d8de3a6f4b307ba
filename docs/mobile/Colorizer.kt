// Colours a Bitmap of any size. Step by step the same as colorizer.py beside this file.
//
// build.gradle.kts:
//     implementation("com.google.ai.edge.litert:litert:1.4.0")
//     implementation("com.google.ai.edge.litert:litert-gpu:1.4.0")
// and colorizer_dynamic_int8.tflite (or colorizer_fp16.tflite for the GPU) among the assets.

import android.content.Context
import android.graphics.Bitmap
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.abs
import kotlin.math.cbrt
import kotlin.math.ceil
import kotlin.math.exp
import kotlin.math.floor
import kotlin.math.ln
import kotlin.math.max
import kotlin.math.min
import kotlin.math.pow
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.gpu.GpuDelegate

/** Not for the main thread: it computes every pixel on the processor. Close it after use. */
class Colorizer(context: Context, file: String = "colorizer_dynamic_int8.tflite", gpu: Boolean = false) :
    AutoCloseable {

    private val delegate = if (gpu) GpuDelegate() else null
    private val interpreter: Interpreter
    private val side: Int

    init {
        val bytes = context.assets.open(file).use { it.readBytes() }
        val model = ByteBuffer.allocateDirect(bytes.size).order(ByteOrder.nativeOrder()).put(bytes)
        val options = Interpreter.Options().setNumThreads(4)
        delegate?.let { options.addDelegate(it) }
        interpreter = Interpreter(model, options)
        side = interpreter.getInputTensorFromSignature("lightness", "predict_ab").shape()[1]
    }

    /** The bitmap in colour; it must be upright (apply the camera's rotation first). */
    fun colorize(bitmap: Bitmap): Bitmap {
        val width = bitmap.width
        val height = bitmap.height
        val pixels = IntArray(width * height)
        bitmap.getPixels(pixels, 0, width, 0, 0, width, height)
        val ab = predictAb(squeeze(pixels, width, height))
        merge(pixels, width, height, ab)
        return Bitmap.createBitmap(pixels, width, height, Bitmap.Config.ARGB_8888)
    }

    override fun close() {
        interpreter.close()
        delegate?.close()
    }

    private fun predictAb(lightness: FloatArray): FloatArray {
        val input = floats(side * side).apply { asFloatBuffer().put(lightness) }
        val output = floats(side * side * 2)
        interpreter.runSignature(mapOf("lightness" to input), mapOf("ab" to output), "predict_ab")
        return FloatArray(side * side * 2).also { output.rewind(); output.asFloatBuffer().get(it) }
    }

    private fun floats(count: Int) =
        ByteBuffer.allocateDirect(4 * count).order(ByteOrder.nativeOrder())

    private val linear = DoubleArray(256) {
        val v = it / 255.0
        if (v <= 0.04045) v / 12.92 else ((v + 0.055) / 1.055).pow(2.4)
    }

    private fun lightness(pixel: Int): Double {
        val y = 0.212671 * linear[pixel shr 16 and 255] +
            0.715160 * linear[pixel shr 8 and 255] + 0.072169 * linear[pixel and 255]
        return 116 * (if (y > 0.008856) cbrt(y) else 7.787 * y + 16.0 / 116) - 16
    }

    private class Tap(val first: Int, val weights: DoubleArray)

    private fun taps(size: Int): List<Tap> {
        val scale = size.toDouble() / side
        val support = max(1.0, scale)
        return List(side) { i ->
            val centre = (i + 0.5) * scale
            val first = max(0, floor(centre - support).toInt())
            val last = min(size, ceil(centre + support).toInt())
            val weights = DoubleArray(last - first) { max(0.0, 1 - abs(first + it + 0.5 - centre) / support) }
            val total = weights.sum()
            Tap(first, DoubleArray(weights.size) { weights[it] / total })
        }
    }

    private fun squeeze(pixels: IntArray, width: Int, height: Int): FloatArray {
        val columns = taps(width)
        val narrow = DoubleArray(height * side)
        val row = DoubleArray(width)
        for (y in 0 until height) {
            for (x in 0 until width) row[x] = lightness(pixels[y * width + x])
            columns.forEachIndexed { i, tap ->
                var sum = 0.0
                for (k in tap.weights.indices) sum += tap.weights[k] * row[tap.first + k]
                narrow[y * side + i] = sum
            }
        }
        val result = FloatArray(side * side)
        taps(height).forEachIndexed { j, tap ->
            for (i in 0 until side) {
                var sum = 0.0
                for (k in tap.weights.indices) sum += tap.weights[k] * narrow[(tap.first + k) * side + i]
                result[j * side + i] = sum.toFloat()
            }
        }
        return result
    }

    private class Between(val one: Int, val next: Int, val share: Double)

    private fun between(i: Int, size: Int): Between {
        val place = min(max((i + 0.5) * side / size - 0.5, 0.0), side - 1.0)
        val one = place.toInt()
        return Between(one, min(one + 1, side - 1), place - one)
    }

    private fun inverse(f: Double) = if (f > 0.2068966) f * f * f else (f - 16.0 / 116) / 7.787

    private fun encoded(linear: Double): Int {
        val v = min(max(linear, 0.0), 1.0)
        return (255 * (if (v > 0.0031308) 1.055 * v.pow(1 / 2.4) - 0.055 else 12.92 * v) + 0.5).toInt()
    }

    /** The gray of an L* and the colors around it, by the factor of their chroma. */
    private inner class Around(L: Double, private val a: Double, private val b: Double) {
        private val fy = (L + 16) / 116
        val y = inverse(fy)

        /** Linear red, green and blue less the gray. */
        fun colored(factor: Double): DoubleArray {
            val x = 0.95047 * inverse(fy + factor * a / 500)
            val z = 1.08883 * inverse(fy - factor * b / 200)
            return doubleArrayOf(
                3.240481 * x - 1.537152 * y - 0.498536 * z - y,
                -0.969255 * x + 1.875990 * y + 0.041556 * z - y,
                0.055647 * x - 0.204041 * y + 1.057311 * z - y,
            )
        }

        /** How far the farthest of them is, of what is allowed. */
        fun reach(c: DoubleArray) = max(
            max(c[0], max(c[1], c[2])) / max(1 - y, 1e-8),
            -min(c[0], min(c[1], c[2])) / max(y, 1e-8),
        )
    }

    /** What sRGB has not keeps L* and hue and loses chroma. */
    private fun srgb(L: Double, a: Double, b: Double): Int {
        val around = Around(L, a, b)
        var channels = around.colored(1.0)
        val reached = around.reach(channels)
        var rest = 1.0
        if (reached > 1) {
            // ln(reach) is nearly straight over ln(factor) = x: the secant finds where it is 0.
            var out = 0.0
            var farOut = ln(reached)
            var x = -farOut
            for (step in 0 until 4) {
                val far = ln(max(around.reach(around.colored(exp(x))), 1e-8))
                if (abs(far) < 0.001) break
                val slope = min(max((farOut - far) / max(out - x, 1e-8), 0.3), 4.0)
                if (far > 0) {
                    out = x
                    farOut = far
                }
                x = min(x - far / slope, 0.0)
            }
            channels = around.colored(exp(x))
            rest = max(around.reach(channels), 0.99)
        }
        return (encoded(around.y + channels[0] / rest) shl 16) or
            (encoded(around.y + channels[1] / rest) shl 8) or
            encoded(around.y + channels[2] / rest)
    }

    private fun enlarged(ab: FloatArray, down: Between, across: Between, channel: Int): Double {
        fun value(row: Int, column: Int) = ab[(row * side + column) * 2 + channel]
        val upper = value(down.one, across.one) * (1 - across.share) +
            value(down.one, across.next) * across.share
        val lower = value(down.next, across.one) * (1 - across.share) +
            value(down.next, across.next) * across.share
        return upper * (1 - down.share) + lower * down.share
    }

    private fun merge(pixels: IntArray, width: Int, height: Int, ab: FloatArray) {
        val columns = List(width) { between(it, width) }
        for (y in 0 until height) {
            val down = between(y, height)
            columns.forEachIndexed { x, across ->
                val pixel = pixels[y * width + x]
                val a = enlarged(ab, down, across, 0)
                val b = enlarged(ab, down, across, 1)
                pixels[y * width + x] = (pixel and (255 shl 24)) or srgb(lightness(pixel), a, b)
            }
        }
    }
}
