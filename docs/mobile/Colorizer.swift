// Colours a CGImage of any size. Step by step the same as colorizer.py beside this file.
//
// Podfile: pod 'TensorFlowLiteSwift', :subspecs => ['Metal'], and colorizer_dynamic_int8.tflite (or
// colorizer_fp16.tflite for the GPU) in the bundle.

import CoreGraphics
import Foundation
import TensorFlowLite

/// Not for the main thread: it computes every pixel on the processor.
final class Colorizer {
    enum Failure: Error { case noModel, noContext }

    private let runner: SignatureRunner
    private let interpreter: Interpreter
    private let side: Int

    init(file: String = "colorizer_dynamic_int8", gpu: Bool = false) throws {
        guard let path = Bundle.main.path(forResource: file, ofType: "tflite") else {
            throw Failure.noModel
        }
        var options = Interpreter.Options()
        options.threadCount = 4
        interpreter = try Interpreter(
            modelPath: path, options: options, delegates: gpu ? [MetalDelegate()] : nil)
        runner = try interpreter.signatureRunner(with: "predict_ab")
        try runner.allocateTensors()
        side = try runner.input(named: "lightness").shape.dimensions[1]
    }

    /// The picture in colour; it must be upright (draw a UIImage of another orientation first).
    func colorize(_ image: CGImage) throws -> CGImage {
        let width = image.width
        let height = image.height
        var pixels = [UInt8](repeating: 0, count: 4 * width * height)
        let result: CGImage? = try pixels.withUnsafeMutableBytes { buffer in
            guard
                let context = CGContext(
                    data: buffer.baseAddress, width: width, height: height, bitsPerComponent: 8,
                    bytesPerRow: 4 * width, space: CGColorSpace(name: CGColorSpace.sRGB)!,
                    bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)
            else { throw Failure.noContext }
            context.draw(image, in: CGRect(x: 0, y: 0, width: width, height: height))
            let bytes = buffer.bindMemory(to: UInt8.self)
            let ab = try predictAb(squeeze(bytes, width, height))
            merge(bytes, width, height, ab)
            return context.makeImage()
        }
        guard let result else { throw Failure.noContext }
        return result
    }

    private func predictAb(_ lightness: [Float]) throws -> [Float] {
        try runner.copy(lightness.withUnsafeBytes { Data($0) }, toInputNamed: "lightness")
        try runner.invoke()
        return try runner.output(named: "ab").data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }

    private let linear: [Double] = (0..<256).map {
        let v = Double($0) / 255
        return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4)
    }

    private func lightness(_ pixels: UnsafeMutableBufferPointer<UInt8>, _ i: Int) -> Double {
        let y =
            0.212671 * linear[Int(pixels[4 * i])] + 0.715160 * linear[Int(pixels[4 * i + 1])]
            + 0.072169 * linear[Int(pixels[4 * i + 2])]
        return 116 * (y > 0.008856 ? cbrt(y) : 7.787 * y + 16.0 / 116) - 16
    }

    private func taps(_ size: Int) -> [(first: Int, weights: [Double])] {
        let scale = Double(size) / Double(side)
        let support = max(1, scale)
        return (0..<side).map { i in
            let centre = (Double(i) + 0.5) * scale
            let first = max(0, Int(floor(centre - support)))
            let last = min(size, Int(ceil(centre + support)))
            let weights = (first..<last).map { max(0, 1 - abs(Double($0) + 0.5 - centre) / support) }
            let total = weights.reduce(0, +)
            return (first, weights.map { $0 / total })
        }
    }

    private func squeeze(_ pixels: UnsafeMutableBufferPointer<UInt8>, _ width: Int, _ height: Int) -> [Float] {
        let columns = taps(width)
        var narrow = [Double](repeating: 0, count: height * side)
        for y in 0..<height {
            let row = (0..<width).map { lightness(pixels, y * width + $0) }
            for (i, tap) in columns.enumerated() {
                var sum = 0.0
                for (k, weight) in tap.weights.enumerated() { sum += weight * row[tap.first + k] }
                narrow[y * side + i] = sum
            }
        }
        var result = [Float](repeating: 0, count: side * side)
        for (j, tap) in taps(height).enumerated() {
            for i in 0..<side {
                var sum = 0.0
                for (k, weight) in tap.weights.enumerated() {
                    sum += weight * narrow[(tap.first + k) * side + i]
                }
                result[j * side + i] = Float(sum)
            }
        }
        return result
    }

    private func between(_ i: Int, _ size: Int) -> Between {
        let place = min(
            max((Double(i) + 0.5) * Double(side) / Double(size) - 0.5, 0), Double(side - 1))
        let one = Int(place)
        return (one, min(one + 1, side - 1), place - Double(one))
    }

    private func inverse(_ f: Double) -> Double {
        f > 0.2068966 ? f * f * f : (f - 16.0 / 116) / 7.787
    }

    private func encoded(_ linear: Double) -> UInt8 {
        let v = min(max(linear, 0), 1)
        return UInt8(255 * (v > 0.0031308 ? 1.055 * pow(v, 1 / 2.4) - 0.055 : 12.92 * v) + 0.5)
    }

    private typealias Channels = (red: Double, green: Double, blue: Double)

    /// What sRGB has not keeps L* and hue and loses chroma.
    private func srgb(_ L: Double, _ a: Double, _ b: Double) -> (UInt8, UInt8, UInt8) {
        let fy = (L + 16) / 116
        let y = inverse(fy)

        // Linear red, green and blue less the gray, with so much of the chroma.
        func colored(_ factor: Double) -> Channels {
            let x = 0.95047 * inverse(fy + factor * a / 500)
            let z = 1.08883 * inverse(fy - factor * b / 200)
            return (
                3.240481 * x - 1.537152 * y - 0.498536 * z - y,
                -0.969255 * x + 1.875990 * y + 0.041556 * z - y,
                0.055647 * x - 0.204041 * y + 1.057311 * z - y
            )
        }

        // How far the farthest of them is, of what is allowed.
        func reach(_ c: Channels) -> Double {
            max(
                max(c.red, c.green, c.blue) / max(1 - y, 1e-8),
                -min(c.red, c.green, c.blue) / max(y, 1e-8))
        }

        var channels = colored(1)
        let reached = reach(channels)
        var rest = 1.0
        if reached > 1 {
            // log(reach) is nearly straight over log(factor) = x: the secant finds where it is 0.
            var out = 0.0
            var farOut = log(reached)
            var x = -farOut
            for _ in 0..<4 {
                let far = log(max(reach(colored(exp(x))), 1e-8))
                if abs(far) < 0.001 { break }
                let slope = min(max((farOut - far) / max(out - x, 1e-8), 0.3), 4.0)
                if far > 0 { (out, farOut) = (x, far) }
                x = min(x - far / slope, 0)
            }
            channels = colored(exp(x))
            rest = max(reach(channels), 0.99)
        }
        return (
            encoded(y + channels.red / rest), encoded(y + channels.green / rest),
            encoded(y + channels.blue / rest)
        )
    }

    private typealias Between = (one: Int, next: Int, share: Double)

    private func enlarged(_ ab: [Float], _ down: Between, _ across: Between, _ channel: Int) -> Double {
        func value(_ row: Int, _ column: Int) -> Double {
            Double(ab[(row * side + column) * 2 + channel])
        }
        let upper =
            value(down.one, across.one) * (1 - across.share)
            + value(down.one, across.next) * across.share
        let lower =
            value(down.next, across.one) * (1 - across.share)
            + value(down.next, across.next) * across.share
        return upper * (1 - down.share) + lower * down.share
    }

    private func merge(
        _ pixels: UnsafeMutableBufferPointer<UInt8>, _ width: Int, _ height: Int, _ ab: [Float]
    ) {
        let columns = (0..<width).map { between($0, width) }
        for y in 0..<height {
            let down = between(y, height)
            for (x, across) in columns.enumerated() {
                let i = y * width + x
                let a = enlarged(ab, down, across, 0)
                let b = enlarged(ab, down, across, 1)
                (pixels[4 * i], pixels[4 * i + 1], pixels[4 * i + 2]) = srgb(lightness(pixels, i), a, b)
            }
        }
    }
}
